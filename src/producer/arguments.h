/* SPDX-License-Identifier: Apache-2.0 */
/* What callers hand in, checked: structures of older and newer callers, accounts, texts, ranges. */
#ifndef TKR_PRODUCER_ARGUMENTS_H
#define TKR_PRODUCER_ARGUMENTS_H

#include "event/frame.h"
#include "tokenring/tokenring.h"

/* Options with defaults for what is not given (NULL: nothing is). 0 or TKR_ESIZE. */
int tkr_arguments_options(const tkr_options *given, tkr_options *ret_options);

/*
 * A start that is valid and of this version's size: given itself, or made in *local when its size differs. 0 with the one to
 * use; TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE, TKR_ETEXT.
 */
int tkr_arguments_start(const tkr_start *given, tkr_start *local, const tkr_start **ret_start);

/* The same for usage, whose figures are then in range. TKR_EINVAL, TKR_ESIZE, TKR_ERANGE. */
int tkr_arguments_usage(const tkr_usage *given, tkr_usage *local, const tkr_usage **ret_usage);

/* The frame's values of a checked usage. start_ns is the call's begin, end_ns its end or 0: not known. */
void tkr_arguments_values(const tkr_usage *usage, int64_t start_ns, int64_t end_ns, struct tkr_frame_values *ret_values);

#endif
