/* SPDX-License-Identifier: Apache-2.0 */
#include "command/dump/tree.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define INDENT 2
#define DEPTH_MAX 8 /* of what we make ourselves: less */

static void print_scalar(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        (void)printf("%s", json_string_value(value)); /* made clean by who made it */
        break;
    case JSON_INTEGER:
        (void)printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        (void)printf("%g", json_real_value(value));
        break;
    case JSON_TRUE:
        (void)printf("yes");
        break;
    case JSON_FALSE:
        (void)printf("no");
        break;
    default:
        (void)printf("none");
    }
}

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

/* "key value, key value {key value}": a row, or a part of one. */
static void print_inline(const json_t *value, int depth)
{
    const char *between = "";
    const char *key;
    json_t *member;
    size_t i;

    if (is_scalar(value) || depth > DEPTH_MAX) {
        print_scalar(value);
        return;
    }
    json_array_foreach ((json_t *)value, i, member) { /* none of an object */
        (void)printf("%s", between);
        print_inline(member, depth + 1);
        between = ", ";
    }
    json_object_foreach ((json_t *)value, key, member) { /* none of an array */
        (void)printf("%s%s ", between, key);
        if (!is_scalar(member))
            (void)putchar('{');
        print_inline(member, depth + 1);
        if (!is_scalar(member))
            (void)putchar('}');
        between = ", ";
    }
}

static void print_members(const json_t *object, int depth)
{
    const char *key;
    json_t *member;
    json_t *row;
    size_t i;

    json_object_foreach ((json_t *)object, key, member) {
        (void)printf("%*s%s:", depth * INDENT, "", key);
        if (is_scalar(member)) {
            (void)putchar(' ');
            print_scalar(member);
        }
        (void)putchar('\n');
        if (json_is_object(member) && depth < DEPTH_MAX)
            print_members(member, depth + 1);
        json_array_foreach (member, i, row) {
            (void)printf("%*s", (depth + 1) * INDENT, "");
            print_inline(row, 0);
            (void)putchar('\n');
        }
    }
}

void tkr_command_tree_print(const json_t *object)
{
    print_members(object, 0);
}
