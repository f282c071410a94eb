/* The observer of ai_platform_interface.h, for every network of a project. */
#include "ai_platform_interface.h"

static ai_bool refuse(tv_client *client, ai_error_type type)
{
    if (client && client->error.type == AI_ERROR_NONE) {
        client->error.type = (ai_u32)type & 0xFFu;
        client->error.code = AI_ERROR_CODE_NETWORK;
    }
    return false;
}

ai_bool ai_platform_observer_register_s(ai_handle network, ai_observer_exec_ctx *ctx)
{
    tv_client *client = (tv_client *)network;
    if (!client || !client->created) return refuse(client, AI_ERROR_INVALID_HANDLE);
    if (!ctx || !ctx->on_node) return refuse(client, AI_ERROR_INVALID_PARAM);
    if (client->observer) return refuse(client, AI_ERROR_INVALID_STATE);
    ctx->flags |= AI_OBSERVER_REGISTERED;
    ctx->c_idx = 0;
    ctx->n_nodes = client->n_nodes;
    ctx->cur = NULL;
    client->observer = ctx;
    return true;
}

ai_bool ai_platform_observer_unregister_s(ai_handle network, ai_observer_exec_ctx *ctx)
{
    tv_client *client = (tv_client *)network;
    if (!client || !client->created) return refuse(client, AI_ERROR_INVALID_HANDLE);
    if (!ctx || client->observer != ctx) return refuse(client, AI_ERROR_INVALID_PARAM);
    ctx->flags &= ~(ai_u32)AI_OBSERVER_REGISTERED;
    client->observer = NULL;
    return true;
}

ai_bool ai_platform_observer_register(ai_handle network, ai_observer_node_cb cb, ai_handle cookie, ai_u32 flags)
{
    tv_client *client = (tv_client *)network;
    if (!client || client->observer) return refuse(client, AI_ERROR_INVALID_STATE);
    client->own.on_node = cb;
    client->own.cookie = cookie;
    client->own.flags = flags & AI_OBSERVER_MASK_EVT;
    return ai_platform_observer_register_s(network, &client->own);
}

ai_bool ai_platform_observer_unregister(ai_handle network, ai_observer_node_cb cb, ai_handle cookie)
{
    tv_client *client = (tv_client *)network;
    if (!client || client->own.on_node != cb || client->own.cookie != cookie) return refuse(client, AI_ERROR_INVALID_PARAM);
    return ai_platform_observer_unregister_s(network, &client->own);
}

ai_bool ai_platform_observer_node_info(ai_handle network, ai_observer_node *node_info)
{
    tv_client *client = (tv_client *)network;
    if (!client || !client->created) return refuse(client, AI_ERROR_INVALID_HANDLE);
    if (!node_info || node_info->c_idx >= client->n_nodes) return refuse(client, AI_ERROR_INVALID_PARAM);
    node_info->id = node_info->c_idx;
    node_info->type = node_info->unused = 0;
    node_info->inner_tensors = node_info->tensors = NULL;
    node_info->output = NULL;
    node_info->output_bytes = 0;
    return true;
}

void tv_client_event(tv_client *client, ai_u32 event, ai_u32 layer, const void *output, ai_u32 bytes)
{
    ai_observer_exec_ctx *ctx = client->observer;
    const ai_u16 index = (ai_u16)layer;
    if (ctx && (ctx->flags & event)) {
        const ai_u32 place = (layer == 0u ? AI_OBSERVER_FIRST_EVT : 0u) | (layer + 1u == client->n_nodes ? AI_OBSERVER_LAST_EVT : 0u);
        const ai_observer_node node = { index, 0, index, 0, NULL, NULL, output, bytes };
        ctx->c_idx = index;
        (void)ctx->on_node(ctx->cookie, event | place, &node);
    }
}

/* Another network of tinyvgg's in the same project may bring this too. */
#pragma weak ai_platform_observer_register
#pragma weak ai_platform_observer_register_s
#pragma weak ai_platform_observer_unregister
#pragma weak ai_platform_observer_unregister_s
#pragma weak ai_platform_observer_node_info
#pragma weak tv_client_event
