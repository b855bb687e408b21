/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/ending.h"

static _Thread_local struct tkr_ending *current TKR_FAST_TLS;

bool tkr_ending_begin(struct tkr_ending *ending, const tkr_callback_context *context)
{
    if (current != NULL && current->context == context)
        return false;
    ending->context = context;
    ending->before = current;
    ending->count = 0;
    current = ending;
    return true;
}

void tkr_ending_finish(struct tkr_ending *ending)
{
    current = ending->before;
    for (uint32_t i = 0; i < ending->count; i++)
        tkr_limits_release(ending->release[i].producer, &ending->release[i].held);
}

void tkr_ending_release(const tkr_callback_context *context, tkr_producer *producer, const struct tkr_limits_held *held)
{
    bool waits = current != NULL && current->context == context && held->slot != 0;

    if (waits && current->count < TKR_ENDING_RELEASES_MAX) {
        current->release[current->count].producer = producer;
        current->release[current->count++].held = *held;
    } else if (waits) {
        tkr_limits_let_go(producer, held);
    } else {
        tkr_limits_release(producer, held);
    }
}
