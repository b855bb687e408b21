/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/calls.h"

#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t z) /* splitmix64's finish */
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The next `below` values of a draw, taken off it. */
static uint32_t take(uint64_t *draw, uint32_t below)
{
    uint32_t value = (uint32_t)(*draw % below);

    *draw /= below;
    return value;
}

static uint64_t draw(uint32_t g, uint32_t thread, uint64_t call, uint64_t which)
{
    return mix(((uint64_t)g << 44 | (uint64_t)thread << 40 | call) * UINT64_C(0x9e3779b97f4a7c15) + mix(which + 1));
}

static void charge(struct chaos_call *call, uint32_t g, uint32_t thread, uint64_t number)
{
    uint64_t z = draw(g, thread, number, 0);

    call->account[call->account_count++] = chaos_private(g, thread);
    if (take(&z, 8) > 0)
        call->account[call->account_count++] = take(&z, CHAOS_USERS);
    if (take(&z, 2) > 0)
        call->account[call->account_count++] = CHAOS_USERS + take(&z, CHAOS_TEAMS);
    if (take(&z, 8) == 0)
        call->account[call->account_count++] = CHAOS_USERS + CHAOS_TEAMS + take(&z, CHAOS_ORGANISATIONS);
    call->cycle = take(&z, CHAOS_CYCLES);
    call->one_shot = (int)take(&z, 2);
    call->nap = (enum chaos_nap)take(&z, 2 * CHAOS_NAP_COUNT); /* half of them: nowhere */
}

struct chaos_call chaos_call_make(uint32_t g, uint32_t thread, uint64_t number)
{
    struct chaos_call call = {.total = TKR_ABSENT};
    uint64_t z = draw(g, thread, number, 1);

    charge(&call, g, thread, number);
    call.prompt = 1 + take(&z, 3000);
    call.estimate = call.prompt + take(&z, 20);
    call.completion = 4 * (int64_t)take(&z, 500);
    call.cached = take(&z, 3) == 0 ? call.prompt / 2 : 0;
    call.cache_write = take(&z, 5) == 0 ? call.prompt / 3 : 0;
    call.reasoning = take(&z, 4) == 0 ? call.completion / 4 : 0;
    if (take(&z, 4) == 0)
        call.total = call.prompt + call.completion + take(&z, 50);
    z = draw(g, thread, number, 2);
    call.estimated = take(&z, 10) == 0 ? TKR_ESTIMATED_COMPLETION : 0;
    call.error = take(&z, 20) == 0 ? TKR_ERROR_TIMEOUT : TKR_ERROR_NONE;
    call.cost_nano_usd = take(&z, 1000000);
    call.duration_ms = take(&z, 30000);
    return call;
}

struct chaos_step chaos_step_make(const struct chaos_call *long_call, uint64_t i)
{
    struct chaos_step step = {.kind = CHAOS_SHORT, .call = i};
    uint64_t at = i % CHAOS_LONG_STEPS;

    if (at == 0 || at == CHAOS_LONG_STEPS - 1 || at % CHAOS_LONG_EVERY == 0)
        step.call = i - at;
    if (at == 0) {
        step.kind = CHAOS_LONG_BEGIN;
    } else if (at == CHAOS_LONG_STEPS - 1) {
        step.kind = CHAOS_LONG_END;
    } else if (at % CHAOS_LONG_EVERY == 0) {
        step.kind = CHAOS_LONG_TELL;
        step.told = long_call->completion / 4 * (int64_t)(at / CHAOS_LONG_EVERY);
    }
    return step;
}

int chaos_long_open(uint32_t g, uint32_t thread, uint64_t steps, uint64_t *ret_call, int64_t *ret_told)
{
    uint64_t at = steps % CHAOS_LONG_STEPS; /* the next step's place */

    if (at == 0)
        return 0;
    *ret_call = steps - at;
    *ret_told = chaos_call_make(g, thread, *ret_call).completion / 4 * (int64_t)((at - 1) / CHAOS_LONG_EVERY);
    return 1;
}

uint64_t chaos_account_kind(uint32_t account)
{
    uint64_t kind = TKR_KIND_USER;

    if (account >= CHAOS_SHARED)
        return tkr_kind("gateway", &kind) == TKR_OK ? kind : TKR_KIND_KEY;
    if (account >= CHAOS_USERS + CHAOS_TEAMS)
        return TKR_KIND_ORGANISATION;
    return account >= CHAOS_USERS ? TKR_KIND_TEAM : TKR_KIND_USER;
}

static int user_id(uint32_t n, char *ret_id, size_t size)
{
    switch (n % 6) {
    case 0:
        return snprintf(ret_id, size, "user-%03u", n);
    case 1:
        return snprintf(ret_id, size, "user %03u of acme ", n);
    case 2:
        return snprintf(ret_id, size, "{user}:%03u:2024-01-01", n);
    case 3:
        return snprintf(ret_id, size, "}u{ser%03u{}", n);
    case 4:
        return snprintf(ret_id, size, "Zo\xc3\xab \xe6\x9d\xb1\xe4\xba\xac %03u", n);
    default:
        return snprintf(ret_id, size, "user*?[%03u]\\%%", n);
    }
}

size_t chaos_account_id(uint32_t account, char ret_id[CHAOS_ID_BYTES])
{
    uint32_t n = account - CHAOS_SHARED;
    int len;

    if (account < CHAOS_USERS)
        len = user_id(account, ret_id, CHAOS_ID_BYTES);
    else if (account < CHAOS_USERS + CHAOS_TEAMS)
        len = snprintf(ret_id, CHAOS_ID_BYTES, "team:{%u}", account - CHAOS_USERS);
    else if (account < CHAOS_SHARED)
        len = snprintf(ret_id, CHAOS_ID_BYTES, "org %u", account - CHAOS_USERS - CHAOS_TEAMS);
    else
        len = snprintf(ret_id, CHAOS_ID_BYTES, "gw {%u}:%u", n / CHAOS_THREADS, n % CHAOS_THREADS);
    return (size_t)len;
}

uint32_t chaos_cycle(uint32_t number)
{
    static const uint32_t cycle[CHAOS_CYCLES] = {20240101, 20240229, 20241231};

    return cycle[number];
}
