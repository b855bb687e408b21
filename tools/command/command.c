/* SPDX-License-Identifier: Apache-2.0 */
#include "command/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/settings.h"
#include "region/guard.h"

static void say(const char *command, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static void say(const char *command, const char *format, va_list args)
{
    (void)fprintf(stderr, "tokenring%s%s: ", command == NULL ? "" : " ", command == NULL ? "" : command);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
}

int tkr_command_failed(const char *command, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(command, format, args);
    va_end(args);
    return TKR_COMMAND_FAILED;
}

int tkr_command_wrong(const char *command, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(command, format, args);
    va_end(args);
    return TKR_COMMAND_WRONG;
}

/* "--users, --seed, --help", for a sentence. */
static void list_options(const struct option *options, char *ret_list, size_t room)
{
    size_t at = 0;

    ret_list[0] = '\0';
    for (; options->name != NULL && at < room; options++)
        at += (size_t)snprintf(ret_list + at, room - at, "%s--%s", at == 0 ? "" : ", ", options->name);
}

static void tell_wrong_option(char **argv, const struct option *options)
{
    const char *word = argv[optind - 1];
    char list[512];

    list_options(options, list, sizeof(list));
    if (strncmp(word, "--", 2) == 0 && optopt >= TKR_COMMAND_OPTION_RUNTIME_DIR)
        (void)tkr_command_wrong(argv[0], "%s: the option takes no value", word);
    else if (strncmp(word, "--", 2) == 0)
        (void)tkr_command_wrong(argv[0], "%s: no such option, or short for several; allowed are %s", word, list);
    else
        (void)tkr_command_wrong(argv[0], "-%c: no such option; allowed are %s", optopt, list);
}

int tkr_command_option(int argc, char **argv, const struct option *options)
{
    int value;

    opterr = 0;
    value = getopt_long(argc, argv, ":h", options, NULL);
    if (value == '?')
        tell_wrong_option(argv, options);
    if (value == ':') {
        (void)tkr_command_wrong(argv[0], "%s: a value is missing; see 'tokenring %s --help'", argv[optind - 1], argv[0]);
        value = '?';
    }
    return value;
}

int tkr_command_parse(int argc, char **argv, const struct option *options, const char *help, int (*take)(void *arg, int option),
                      void *arg)
{
    int option;

    while ((option = tkr_command_option(argc, argv, options)) != -1) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return tkr_command_end(argv[0], TKR_COMMAND_OK);
        }
        if (take(arg, option) != 0)
            return TKR_COMMAND_WRONG;
    }
    return -1;
}

int tkr_command_look_option(struct tkr_command_look *look, int option)
{
    switch (option) {
    case TKR_COMMAND_OPTION_RUNTIME_DIR:
        look->runtime_dir = optarg;
        return 0;
    case TKR_COMMAND_OPTION_JSON:
        look->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

int tkr_command_no_operand(int argc, char **argv)
{
    if (optind >= argc)
        return 0;
    return tkr_command_wrong(argv[0], "%s: no operand is allowed; see 'tokenring %s --help'", argv[optind], argv[0]);
}

int tkr_command_integer(const char *command, const char *option, const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    if (tkr_parse_integer(text, min, max, ret_value))
        return 0;
    return tkr_command_wrong(command, "--%s=%s: allowed is an integer from %" PRId64 " to %" PRId64, option, text, min, max);
}

int tkr_command_json_print(const char *command, json_t *object)
{
    bool failed = object == NULL || json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10)) != 0;

    json_decref(object); /* takes NULL */
    if (failed)
        return tkr_command_failed(command, "the JSON could not be written: there is no memory or no room");
    (void)putchar('\n'); /* tkr_command_end looks */
    return tkr_command_end(command, TKR_COMMAND_OK);
}

bool tkr_command_guarded(const char *command, void (*run)(void *argument), void *argument)
{
    if (!tkr_guard_install())
        (void)tkr_command_failed(command, "the kernel lets nobody handle SIGBUS: %s", strerror(errno));
    else if (tkr_guarded_run(run, argument))
        return true;
    else
        (void)tkr_command_failed(command, "a file in the runtime directory was cut short while it was read");
    return false;
}

int tkr_command_end(const char *command, int exit_code)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return tkr_command_failed(command, "standard output: %s", strerror(errno));
    return exit_code;
}
