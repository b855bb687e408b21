/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's daemon: settings from the environment, runs in the foreground, ends on SIGTERM or SIGINT. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/log.h"
#include "collector/collector.h"
#include "serve/notify.h"
#include "serve/serve.h"
#include "tokenring/tokenring.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static atomic_uint stops; /* how often it was asked to leave */

static void on_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add_explicit(&stops, 1, memory_order_relaxed); /* lock-free: safe in a handler */
}

static void on_rotated(int number)
{
    (void)number;
    tkr_log_reopen();
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = on_rotated;
    (void)sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL); /* a sink's broken connection is an answer */
    (void)sigaction(SIGXFSZ, &action, NULL); /* so is a ledger at the limit of a file's size */
}

static void print_help(void)
{
    (void)puts(
        "tokenringd - collects the token usage that gateways on this host record\n"
        "\n"
        "usage: tokenringd [--help | --version]\n"
        "\n"
        "Runs in the foreground until SIGTERM or SIGINT; then drains, flushes and leaves; a second one ends\n"
        "TOKENRING_LINGER_S at once. On SIGHUP it opens the file of its log again.\n"
        "\n"
        "Environment:\n"
        "  TOKENRING_RUNTIME_DIR        shared memory, on a tmpfs; default /run/tokenring, else /dev/shm/tokenring-UID\n"
        "  TOKENRING_STATE_DIR          keeps the collector's name over reboots; default: none\n"
        "  TOKENRING_WORKERS            threads that aggregate, 1..64; default a quarter of the processors\n"
        "  TOKENRING_MAX_ACCOUNTS       accounts and cycles, and models of them, in memory per shard; default 1000000\n"
        "  TOKENRING_BOARD_ACCOUNTS     accounts whose limits gateways can look at, 1024..1048576; default 65536\n"
        "  TOKENRING_MODELS             models of an account and cycle told apart, 0..16, the rest is `other`; default 16\n"
        "  TOKENRING_FLUSH_INTERVAL_MS  default 1000\n"
        "  TOKENRING_PARKED_RETRY_MS    between tries of an account that the sink cannot take; default 30000\n"
        "  TOKENRING_FORGET_AFTER_S     idle accounts leave memory; their totals stay; default 604800, a week\n"
        "  TOKENRING_LINGER_S           after SIGTERM waits so long for attached gateways to go, 0..86400; default 0\n"
        "  TOKENRING_ORPHANS            how calls of dead gateways count: streamed, prompt, reserve, zero\n"
        "  TOKENRING_SINK               redis, sqlite or null; default redis when one is configured, else sqlite\n"
        "  TOKENRING_LEDGER             file of the SQLite ledger\n"
        "  REDIS_URL, or REDIS_SOCKET, or REDIS_HOST and REDIS_PORT; REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB\n"
        "  TOKENRING_REDIS_TIMEOUT_MS   how long an answer is waited for, and resolving and connecting; default 5000\n"
        "  CALLBACK_RETRY_ATTEMPTS      tries that fail before the sink is called failing; default 3. None is the last\n"
        "  CALLBACK_RETRY_DELAY         ms before the first try again, then twice that, up to 5 s; default 100\n"
        "  TOKENRING_HTTP               metrics and health: ADDRESS:PORT, unix:/PATH or off; default 127.0.0.1:9464\n"
        "  TOKENRING_HTTP_API           who may ask for the API: local, or all who reach the address; default local\n"
        "  TOKENRING_METRICS_USERS      users who are named in metrics, 0..1000; the rest is `other`; default 100\n"
        "  LOG_LEVEL                    error, warning, info or debug; default info\n"
        "  LOG_FORMAT                   text or json, an object a line; default text\n"
        "  TOKENRING_LOG_FILE           file that the log is appended to; default standard error\n"
        "  TOKENRING_LOG_RECORDED       lines `Recorded N tokens for user ID` in a flush, 0..1000000; default 0\n"
        "  TOKENRING_LOG_REDACT         1: account ids in the log are replaced by digests; default 0\n"
        "\n"
        "Exit status: 0 all that was recorded is counted and flushed; 1 it could not start, or something is left, and the\n"
        "log says what; 2 wrong usage.");
}

/* Also where the operator looks, who started it. */
static int refuse(const struct tkr_log_settings *settings, const tkr_message *message)
{
    tkr_log(TKR_LOG_ERROR, "%s", message->text);
    if (settings->file[0] != '\0')
        (void)fprintf(stderr, "tokenringd: %s\n", message->text);
    return EXIT_FAILED;
}

/* An address that was asked for and cannot be had is refused. Without the default one all else goes on, and health says so. */
static int open_serve(const struct tkr_serve_config *config, struct tkr_collector *collector, struct tkr_api_about *about,
                      struct tkr_serve **ret_serve, tkr_message *ret_message)
{
    if (tkr_serve_open(config, collector, tkr_api_routes, about, ret_serve, ret_message) == 0) {
        if (*ret_serve != NULL)
            TKR_LOG(TKR_LOG_INFO, "metrics and health are served on {address}", tkr_field_address(tkr_serve_where(*ret_serve)));
        return 0;
    }
    if (config->asked_for)
        return -1;
    TKR_LOG(TKR_LOG_WARNING, "{error}", tkr_field_error(ret_message->text));
    tkr_collector_note(collector, TKR_PROBLEM_HTTP, ret_message);
    return 0;
}

static void say_begun(const struct tkr_collector_config *config, const struct tkr_collector *collector)
{
    tkr_message sink;

    tkr_sink_describe(&config->sink, &sink);
    TKR_LOG(TKR_LOG_INFO,
            config->workers == 1
                ? "collecting in {directory} as {collector} with {workers} worker; flushing to {sink} every {interval_ms} ms"
                : "collecting in {directory} as {collector} with {workers} workers; flushing to {sink} every {interval_ms} ms",
            tkr_field_directory(config->runtime_path, strlen(config->runtime_path)),
            tkr_field_collector(tkr_collector_name(collector)), tkr_field_workers(config->workers), tkr_field_sink(sink.text),
            tkr_field_interval_ms(config->flush_interval_ms));
}

static void say_doubt(const tkr_message *doubt, void *argument)
{
    (void)argument;
    TKR_LOG(TKR_LOG_WARNING, "{reason}", tkr_field_reason(doubt->text));
}

static int collect(const struct tkr_log_settings *settings)
{
    struct tkr_collector_config config;
    struct tkr_serve_config serve_config;
    struct tkr_api_about about = {.sink = &config.sink, .runtime_dir = config.runtime_path};
    struct tkr_collector *collector = NULL;
    struct tkr_serve *serve = NULL;
    struct tkr_notify notify;
    tkr_message message = {""};
    int result;

    if (tkr_collector_config_read(&config, &message) != 0 || tkr_serve_config_read(&serve_config, &message) != 0 ||
        tkr_collector_open(&config, &collector, &message) != 0 ||
        open_serve(&serve_config, collector, &about, &serve, &message) != 0) {
        tkr_collector_close(collector);
        return refuse(settings, &message);
    }
    say_begun(&config, collector);
    tkr_sink_config_doubt(&config.sink, say_doubt, NULL);
    tkr_serve_ready(serve, true);
    tkr_notify_ready(&notify, collector, &stops);
    result = tkr_collector_run(collector, &stops, tkr_notify_turn, &notify, &message);
    tkr_serve_close(serve);
    tkr_collector_close(collector);
    if (result != 0)
        tkr_log(TKR_LOG_ERROR, "%s", message.text);
    else
        tkr_log(TKR_LOG_INFO, "all counted and flushed; leaving");
    return result == 0 ? EXIT_OK : EXIT_FAILED;
}

static int serve(void)
{
    static struct tkr_log_settings settings; /* the log's until it is closed, or the process ends */
    tkr_message message = {""};
    int result;

    if (tkr_log_settings_read(&settings, &message) != 0 || tkr_log_open(&settings, &message) != 0) {
        tkr_log(TKR_LOG_ERROR, "%s", message.text);
        return EXIT_FAILED;
    }
    result = collect(&settings);
    tkr_log_close();
    return result;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return EXIT_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("tokenringd %d.%d.%d\n", TKR_VERSION_MAJOR, TKR_VERSION_MINOR, TKR_VERSION_PATCH);
        return EXIT_OK;
    }
    if (argc > 1) {
        (void)fprintf(stderr, "tokenringd: unknown argument %s; see tokenringd --help\n", argv[1]);
        return EXIT_USAGE;
    }
    catch_signals();
    return serve();
}
