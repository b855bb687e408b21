/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges and defaults of what handlers are told by options or by the environment. */
#ifndef TKR_CALLBACK_SETTINGS_H
#define TKR_CALLBACK_SETTINGS_H

#include "base/settings.h"
#include "tokenring/callback.h"

#define TKR_CHARACTERS_PER_TOKEN_DEFAULT 4
#define TKR_CHARACTERS_PER_TOKEN_MAX 1000
#define TKR_SLOW_MS_DEFAULT 1000
#define TKR_SLOW_MS_MAX 86400000

#endif
