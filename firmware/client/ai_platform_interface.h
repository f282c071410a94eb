/* The observer of X-CUBE-AI's legacy API: a function of the application's that is called before and after each layer. tinyvgg's own, not
 * ST's: names, numbers and layouts are those of the public interface, the text is not. Tensors are not described: `tensors` is NULL, and
 * what a layer has computed is `output`, a name of our own. */
#ifndef AI_PLATFORM_INTERFACE_H
#define AI_PLATFORM_INTERFACE_H

#include "ai_platform.h"

#define AI_OBSERVER_NONE_EVT (0)
#define AI_OBSERVER_INIT_EVT (1 << 0)    /* never sent */
#define AI_OBSERVER_PRE_EVT (1 << 1)     /* before a layer */
#define AI_OBSERVER_POST_EVT (1 << 2)    /* after a layer */
#define AI_OBSERVER_FIRST_EVT (1 << 8)   /* it is the first */
#define AI_OBSERVER_LAST_EVT (1 << 9)    /* it is the last */
#define AI_OBSERVER_REGISTERED (1 << 24)
#define AI_OBSERVER_MASK_EVT (0xFF)      /* of the events that can be asked for */

struct ai_node_s;
typedef struct ai_tensor_chain_ ai_tensor_chain;

typedef struct {
    ai_u16 c_idx;                        /* the layer's number, from 0: its name is NAME_layer_names[c_idx] */
    ai_u16 type;                         /* 0: ST's numbers of layers are not known here */
    ai_u16 id;                           /* the number again */
    ai_u16 unused;
    const ai_tensor_chain *inner_tensors, *tensors;      /* NULL */
    const void *output;                  /* after a layer: its result, as NAME_tinyvgg.h has it; NULL before */
    ai_u32 output_bytes;
} ai_observer_node;

typedef ai_u32 (*ai_observer_node_cb)(const ai_handle cookie, const ai_u32 flags, const ai_observer_node *node);

typedef struct {
    ai_observer_node_cb on_node;
    ai_handle cookie;
    ai_u32 flags;
    ai_u16 c_idx, n_nodes;
    struct ai_node_s *cur;               /* NULL */
} ai_observer_exec_ctx;

/* What the handle of a network points to; of no concern to an application. */
typedef struct {
    ai_u16 created, n_nodes;
    ai_error error;                      /* the first one since it was read */
    ai_observer_exec_ctx *observer;      /* NULL, or the one that is registered */
    ai_observer_exec_ctx own;
} tv_client;

AI_API_DECLARE_BEGIN

/* One observer a network. Each returns false for what is no network, no function, or not what is registered; ai_NAME_get_error says so. */
ai_bool ai_platform_observer_register(ai_handle network, ai_observer_node_cb cb, ai_handle cookie, ai_u32 flags);
ai_bool ai_platform_observer_unregister(ai_handle network, ai_observer_node_cb cb, ai_handle cookie);
/* The same with the caller's own context, which is used until it is taken away. */
ai_bool ai_platform_observer_register_s(ai_handle network, ai_observer_exec_ctx *ctx);
ai_bool ai_platform_observer_unregister_s(ai_handle network, ai_observer_exec_ctx *ctx);
/* Fill in node_info for its c_idx. */
ai_bool ai_platform_observer_node_info(ai_handle network, ai_observer_node *node_info);

/* Call the observer; event: AI_OBSERVER_PRE_EVT or AI_OBSERVER_POST_EVT. */
void tv_client_event(tv_client *client, ai_u32 event, ai_u32 layer, const void *output, ai_u32 bytes);

AI_API_DECLARE_END

#endif
