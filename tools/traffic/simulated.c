/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/simulated.h"

#include <string.h>

int tkr_traffic_simulated_make(struct tkr_traffic_simulated *simulated, uint32_t user_count, tkr_message *ret_message)
{
    bool made = tkr_traffic_users_make(user_count, &simulated->users) == 0;

    for (uint32_t i = 0; made && i < user_count; i++) {
        char name[TKR_TRAFFIC_USER_NAME_BYTES];
        uint32_t number; /* is i: no name comes twice */

        tkr_traffic_user_name(i, name);
        made = tkr_traffic_names_add(&simulated->names, name, strlen(name), &number) == 0;
    }
    return made ? 0 : tkr_message_set(ret_message, "there is no memory for so many users");
}

void tkr_traffic_simulated_source(const void *arg, uint64_t n, struct tkr_traffic_call *ret_call)
{
    const struct tkr_traffic_simulated *simulated = arg;
    struct tkr_traffic_random random = tkr_traffic_random_for(simulated->seed, n);
    double gaps = (double)(n / simulated->producer_count);

    *ret_call = (struct tkr_traffic_call){.due_ns = (int64_t)(gaps * simulated->gap_ns)};
    ret_call->user = tkr_traffic_users_draw(&simulated->users, &random);
    tkr_traffic_tokens_draw(&random, &ret_call->prompt_tokens, &ret_call->completion_tokens);
}

void tkr_traffic_simulated_free(struct tkr_traffic_simulated *simulated)
{
    tkr_traffic_users_free(&simulated->users);
    tkr_traffic_names_free(&simulated->names);
}
