/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring doctor: what of the environment is well, and what to change. */
#include <stdio.h>

#include "command/command.h"
#include "command/doctor/findings.h"
#include "sink/sink.h"

static const char help[] =
    "tokenring doctor [OPTION]...\n\n"
    "Looks at what tokenring needs and says what to change: kernel and limits, settings (passwords are not shown), runtime and "
    "state\n"
    "directory and the room in them, the collector and what is left of gateways; and at the sink that the environment names: "
    "Redis\n"
    "(reachable, version, role, eviction, persistence, rights of the user, clock, latency) or the ledger (directory, file "
    "system, room,\n"
    "WAL). Run it as the collector's user, with its environment. Nothing is changed, and no key is written.\n\n"
    "Options:\n" TKR_COMMAND_LOOK_HELP "  --json             print one JSON object: findings, ok, warnings, errors\n"
    "  --help             this text\n\n"
    "Each line is ok, a warning or an error. Rights in Redis are tried with commands that cannot succeed in changing anything; "
    "Redis\n"
    "notes in its ACL LOG those that it denies.\n\n" TKR_COMMAND_EXIT_HELP
    "1 says that there are errors; with warnings alone it is 0.\n";

static const struct option options[] = {TKR_COMMAND_LOOK_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

struct examination {
    const struct tkr_command_look *look;
    struct tkr_findings findings;
};

static void examine_sink(struct tkr_findings *findings)
{
    struct tkr_sink_config config;
    tkr_message message;

    if (tkr_sink_config_read(&config, &message) != 0)
        return; /* the settings have it */
    tkr_sink_describe(&config, &message);
    if (config.kind == TKR_SINK_REDIS)
        tkr_doctor_redis(findings, &config);
    else if (config.kind == TKR_SINK_SQLITE)
        tkr_doctor_ledger(findings, &config);
    else
        tkr_finding_add(findings, TKR_FINDING_WARNING, "sink", "set TOKENRING_SINK to redis or sqlite", "%s", message.text);
}

static void examine(void *argument)
{
    struct examination *examination = argument;
    struct tkr_findings *findings = &examination->findings;

    tkr_doctor_host(findings);
    tkr_doctor_settings(findings);
    tkr_doctor_runtime(findings, examination->look->runtime_dir);
    tkr_doctor_collector(findings, examination->look->runtime_dir);
    examine_sink(findings);
}

static int report(const char *command, const struct tkr_command_look *look, const struct tkr_findings *findings)
{
    int exit_code = findings->count[TKR_FINDING_ERROR] > 0 ? TKR_COMMAND_FAILED : TKR_COMMAND_OK;
    int printed;

    if (!look->json) {
        tkr_findings_print(findings);
        return tkr_command_end(command, exit_code);
    }
    printed = tkr_command_json_print(command, tkr_findings_json(findings));
    return printed != TKR_COMMAND_OK ? printed : exit_code;
}

static int take_option(void *look, int option)
{
    return tkr_command_look_option(look, option);
}

int tkr_command_doctor(int argc, char **argv)
{
    struct tkr_command_look look = {.runtime_dir = NULL};
    struct examination examination = {.look = &look};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &look);

    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    examination.findings.array = json_array();
    exit_code = TKR_COMMAND_FAILED;
    if (tkr_command_guarded(argv[0], examine, &examination))
        exit_code = report(argv[0], &look, &examination.findings);
    json_decref(examination.findings.array);
    return exit_code;
}
