#include <string.h>
#include "tv_kernels.h"

/* How far an op has come: rows of its result that are done, and the first of them that is still kept. */
typedef struct {
    int32_t done, first;
} progress;

/* The first input row that result row `row` reads, and the row after the last; they may lie outside the map. */
static int32_t first_read(const tv_window *w, int32_t row)
{
    return row * w->pool_stride_y * w->stride_y - w->pad_top;
}

static int32_t end_read(const tv_window *w, int32_t row)
{
    return first_read(w, row) + (w->pool_height - 1) * w->stride_y + (w->kernel_height - 1) * w->dilation_y + 1;
}

static int32_t clip(int32_t row, int32_t rows)
{
    return row < 0 ? 0 : row < rows ? row : rows;
}

/* Where the next row of the result goes; where no place is left, rows that `reader` needs no more make way. */
static uint8_t *make_room(const tv_stage *stage, progress *p, const tv_stage *reader, int32_t reader_row, uint8_t *rows)
{
    const uint32_t line = (uint32_t)stage->window->out_width * stage->window->out_channels;
    if (p->done - p->first == (int32_t)stage->rows) {
        const int32_t kept = clip(first_read(reader->window, reader_row), p->done);
        memmove(rows, rows + (uint32_t)(kept - p->first) * line, (uint32_t)(p->done - kept) * line);
        p->first = kept;
    }
    return rows + (uint32_t)(p->done - p->first) * line;
}

void tv_stream_u8(const tv_stage *stages, uint32_t count, const uint8_t *x, uint8_t *y, uint8_t *arena, void *scratch)
{
    progress at[TV_STAGES + 1];                       /* at[s] is the input of stage s */
    memset(at, 0, sizeof at);
    at[0].done = stages[0].window->in_height;
    while (at[count].done < stages[count - 1].window->out_height) {
        uint32_t s = count - 1;                       /* the last op whose input is there */
        while (at[s].done < clip(end_read(stages[s].window, at[s + 1].done), stages[s].window->in_height)) s--;
        const tv_stage *stage = stages + s;
        const int32_t row = at[s + 1].done, top = first_read(stage->window, row);
        const int32_t from = clip(top, at[s].done), end = clip(end_read(stage->window, row), stage->window->in_height);
        tv_window window = *stage->window;
        const uint8_t *input = s ? arena + stages[s - 1].offset : x;
        input += (uint32_t)(from - at[s].first) * window.in_width * window.in_channels;
        window.pad_top = (uint16_t)(top < 0 ? -top : 0);
        window.in_height = (uint16_t)(end > from ? end - from : 0);
        window.out_height = 1;
        uint8_t *to = s + 1 < count ? make_room(stage, &at[s + 1], stage + 1, at[s + 2].done, arena + stage->offset)
                                    : y + (uint32_t)row * window.out_width * window.out_channels;
        stage->run(&window, input, to, scratch);
        at[s + 1].done++;
    }
}
