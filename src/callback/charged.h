/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers are told of by tkr_callback_options: whom, in which cycle, and how to estimate. */
#ifndef TKR_CALLBACK_CHARGED_H
#define TKR_CALLBACK_CHARGED_H

#include "callback/callback.h"

struct tkr_charged {
    uint32_t characters_per_token;
    uint32_t cycle;      /* 0: the context's */
    tkr_account account; /* id NULL: the context's accounts */
    char id[TKR_ID_BYTES_MAX];
};

/* Looks at the structure itself. 0; TKR_EINVAL, TKR_ESIZE. */
int tkr_charged_check(const tkr_callback_options *options);

/*
 * Takes checked options; charged, whose account points into it, stays where it is. 0; TKR_ERANGE, TKR_ECYCLE, TKR_EACCOUNT,
 * TKR_EKIND.
 */
int tkr_charged_take(struct tkr_charged *charged, const tkr_callback_options *options);

#endif
