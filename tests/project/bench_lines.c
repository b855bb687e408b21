/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_lines < OUTPUT: what a bench prints with --json is an object a line: its circumstances first, then figures, and what was
 * skipped and why. Exit status 1 with the line that is none of these.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 4096

static int has(const json_t *object, const char *text_keys[], const char *number_keys[])
{
    for (; *text_keys != NULL; text_keys++) {
        const char *text = json_string_value(json_object_get(object, *text_keys));
        if (text == NULL || text[0] == '\0')
            return 0;
    }
    for (; *number_keys != NULL; number_keys++) {
        if (!json_is_number(json_object_get(object, *number_keys)))
            return 0;
    }
    return 1;
}

static int is_circumstances(const json_t *object)
{
    const char *texts[] = {"compiler", "processor", "kernel", NULL};
    const char *numbers[] = {"processors", "repeats", NULL};

    return has(json_object_get(object, "circumstances"), texts, numbers);
}

/* The median lies between the least and the largest of n > 0. */
static int is_figure(const json_t *object)
{
    const char *texts[] = {"bench", "case", "metric", "unit", NULL};
    const char *numbers[] = {"value", "min", "max", "n", NULL};
    double value = json_number_value(json_object_get(object, "value"));

    return has(object, texts, numbers) && json_integer_value(json_object_get(object, "n")) > 0 &&
           json_number_value(json_object_get(object, "min")) <= value &&
           value <= json_number_value(json_object_get(object, "max"));
}

static int is_skipped(const json_t *object)
{
    const char *texts[] = {"bench", "case", "verdict", "reason", NULL};
    const char *numbers[] = {NULL};

    return has(object, texts, numbers) && strcmp(json_string_value(json_object_get(object, "verdict")), "skipped") == 0;
}

int main(void)
{
    char line[LINE_BYTES];
    int lines = 0;

    for (; fgets(line, sizeof(line), stdin) != NULL; lines++) {
        json_t *object = json_loads(line, 0, NULL);
        int right = lines == 0 ? is_circumstances(object) : is_figure(object) || is_skipped(object);
        json_decref(object);
        if (!right) {
            (void)printf("not a line of a bench: %s", line);
            return 1;
        }
    }
    if (lines < 2)
        (void)printf("%d lines: a bench says more\n", lines);
    return lines < 2;
}
