/* An application in the shape of those that X-CUBE-AI generates and students complete, NAME standing for the network: it waits
 * for 0xAB, answers 0xCD 0x00, then takes float32 images and gives floor(255 p). It knows nothing of tinyvgg. */
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <inttypes.h>
#include <string.h>

#include "app_x-cube-ai.h"
#include "main.h"
#include "ai_datatypes_defines.h"
#include "NAME.h"
#include "NAME_data.h"

extern UART_HandleTypeDef huart2;
#define PIXELS (32 * 32 * 3)
#define TIMEOUT 0xffff

#if !defined(AI_UPPER_INPUTS_IN_ACTIVATIONS)
AI_ALIGNED(4) ai_i8 data_in_1[AI_UPPER_IN_1_SIZE_BYTES];
ai_i8* data_ins[AI_UPPER_IN_NUM] = { data_in_1 };
#else
ai_i8* data_ins[AI_UPPER_IN_NUM] = { NULL };
#endif
#if !defined(AI_UPPER_OUTPUTS_IN_ACTIVATIONS)
AI_ALIGNED(4) ai_i8 data_out_1[AI_UPPER_OUT_1_SIZE_BYTES];
ai_i8* data_outs[AI_UPPER_OUT_NUM] = { data_out_1 };
#else
ai_i8* data_outs[AI_UPPER_OUT_NUM] = { NULL };
#endif

AI_ALIGNED(32)
static uint8_t pool0[AI_UPPER_DATA_ACTIVATION_1_SIZE];
ai_handle data_activations0[] = {pool0};

static ai_handle network = AI_HANDLE_NULL;
static ai_buffer* ai_input;
static ai_buffer* ai_output;

static void log_error(const ai_error err, const char *fct)
{
  printf("Error (%s) - type=0x%02x code=0x%02x\r\n", fct, err.type, err.code);
  exit(3);
}

static int boot(ai_handle *act_addr)
{
  ai_error err = ai_NAME_create_and_init(&network, act_addr, NULL);
  if (err.type != AI_ERROR_NONE) {
    log_error(err, "ai_NAME_create_and_init");
    return -1;
  }
  ai_input = ai_NAME_inputs_get(network, NULL);
  ai_output = ai_NAME_outputs_get(network, NULL);
#if defined(AI_UPPER_INPUTS_IN_ACTIVATIONS)
  for (int idx=0; idx < AI_UPPER_IN_NUM; idx++) data_ins[idx] = ai_input[idx].data;
#else
  for (int idx=0; idx < AI_UPPER_IN_NUM; idx++) ai_input[idx].data = data_ins[idx];
#endif
#if defined(AI_UPPER_OUTPUTS_IN_ACTIVATIONS)
  for (int idx=0; idx < AI_UPPER_OUT_NUM; idx++) data_outs[idx] = ai_output[idx].data;
#else
  for (int idx=0; idx < AI_UPPER_OUT_NUM; idx++) ai_output[idx].data = data_outs[idx];
#endif
  return 0;
}

/* Takes the address of the floats as an array of pointers, as such applications do. */
int acquire(ai_i8 *data[])
{
  unsigned char tmp[PIXELS * 4] = {0};
  HAL_StatusTypeDef status = HAL_UART_Receive(&huart2, (uint8_t *)tmp, sizeof(tmp), TIMEOUT);
  if (status != HAL_OK) return 1;
  for (size_t i = 0; i < sizeof(tmp); i++) ((uint8_t *)data)[i] = tmp[i];
  return 0;
}

int answer(ai_i8 *data[])
{
  uint8_t *output = data;
  uint8_t outs[AI_UPPER_OUT_1_SIZE] = {0};
  for (size_t i = 0; i < AI_UPPER_OUT_1_SIZE; i++) {
    float p;
    memcpy(&p, output + 4 * i, 4);
    outs[i] = (char)(p * 255);
  }
  return HAL_UART_Transmit(&huart2, outs, sizeof(outs), TIMEOUT) != HAL_OK;
}

void synchronize(void)
{
  bool is_synced = 0;
  unsigned char rx[2] = {0}, tx[2] = {0xCD, 0};
  while (!is_synced) {
    HAL_UART_Receive(&huart2, (uint8_t *)rx, sizeof(rx), TIMEOUT);
    if (rx[0] == 0xAB) {
      HAL_UART_Transmit(&huart2, (uint8_t *)tx, sizeof(tx), TIMEOUT);
      is_synced = 1;
    }
  }
}

void MX_X_CUBE_AI_Init(void) { boot(data_activations0); }

void MX_X_CUBE_AI_Process(void)
{
  int res = -1;
  uint8_t *in_data = ai_input[0].data;
  uint8_t *out_data = ai_output[0].data;
  synchronize();
  if (network) {
    do {
      res = acquire(in_data);
      if (res == 0) {
        ai_i32 batch = ai_NAME_run(network, ai_input, ai_output);
        if (batch != 1) log_error(ai_NAME_get_error(network), "ai_NAME_run");
      }
      if (res == 0) res = answer(out_data);
    } while (res==0);
  }
}
