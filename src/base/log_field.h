/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of a line of the log. The list is log_fields.def; each name in it has a constructor, tkr_field_NAME, whose arguments follow
 * from its form: tkr_field_tokens(906), tkr_field_account(kind, id, id_len), tkr_field_model(bytes, len), tkr_field_error(sentence).
 * Texts are borrowed until the line is said.
 */
#ifndef TKR_BASE_LOG_FIELD_H
#define TKR_BASE_LOG_FIELD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum tkr_field_name {
#define TKR_LOG_FIELD(symbol, name, form, help) TKR_FIELD_##symbol,
#include "base/log_fields.def"
#undef TKR_LOG_FIELD
    TKR_FIELD_COUNT
};

enum tkr_field_form {
    TKR_FORM_account,
    TKR_FORM_key,
    TKR_FORM_word,
    TKR_FORM_text, /* the last of those that are bytes of others' choice */
    TKR_FORM_kind,
    TKR_FORM_cycle,
    TKR_FORM_name64,
    TKR_FORM_count,
    TKR_FORM_number
};

struct tkr_field {
    enum tkr_field_name name;
    uint32_t len;     /* bytes of text */
    const char *text; /* of an account, key, word or text */
    uint64_t number;  /* of all others; of an account its kind */
};

/* What the list says of each. */
struct tkr_field_about {
    const char *name;
    const char *help;
    enum tkr_field_form form;
    uint32_t len; /* of the name */
};
extern const struct tkr_field_about tkr_field_about[TKR_FIELD_COUNT];

static inline struct tkr_field tkr_field_make(enum tkr_field_name name, const char *text, size_t len, uint64_t number)
{
    return (struct tkr_field){.name = name, .len = (uint32_t)len, .text = text, .number = number};
}

#define TKR_MAKE_account(symbol, name)                                                                    \
    static inline struct tkr_field tkr_field_##name(uint64_t account_kind, const char *id, size_t id_len) \
    {                                                                                                     \
        return tkr_field_make(TKR_FIELD_##symbol, id, id_len, account_kind);                              \
    }
#define TKR_MAKE_word(symbol, name)                                                \
    static inline struct tkr_field tkr_field_##name(const char *bytes, size_t len) \
    {                                                                              \
        return tkr_field_make(TKR_FIELD_##symbol, bytes, len, 0);                  \
    }
#define TKR_MAKE_text(symbol, name)                                               \
    static inline struct tkr_field tkr_field_##name(const char *sentence)         \
    {                                                                             \
        return tkr_field_make(TKR_FIELD_##symbol, sentence, strlen(sentence), 0); \
    }
#define TKR_MAKE_count(symbol, name)                                 \
    static inline struct tkr_field tkr_field_##name(uint64_t number) \
    {                                                                \
        return tkr_field_make(TKR_FIELD_##symbol, NULL, 0, number);  \
    }
#define TKR_MAKE_number(symbol, name)                                         \
    static inline struct tkr_field tkr_field_##name(int64_t number)           \
    {                                                                         \
        return tkr_field_make(TKR_FIELD_##symbol, NULL, 0, (uint64_t)number); \
    }
#define TKR_MAKE_key TKR_MAKE_word
#define TKR_MAKE_kind TKR_MAKE_count
#define TKR_MAKE_cycle TKR_MAKE_count
#define TKR_MAKE_name64 TKR_MAKE_count

#define TKR_LOG_FIELD(symbol, name, form, help) TKR_MAKE_##form(symbol, name)
#include "base/log_fields.def"
#undef TKR_LOG_FIELD

#endif
