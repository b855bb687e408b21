#include <stdio.h>
#include <tokenring/repository.h>

/* Sets a limit and sees it, and increments what a collector will count. */
int main(void)
{
    tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    tkr_account alice = {.id = "alice", .len = 5};
    tkr_repository *repository;
    char why[TKR_REPOSITORY_ERROR_BYTES];
    int result = tkr_open(NULL, &options.producer);

    if (result == TKR_OK)
        result = tkr_repository_open(&options, &repository);
    if (result != TKR_OK) {
        (void)fprintf(stderr, "tokenring: %s\n", tkr_strerror(result));
        return 1;
    }
    result = tkr_repository_set_usage_limit(repository, &alice, 0, 1000);
    if (result == TKR_OK)
        result = tkr_repository_check_usage_limit(repository, &alice, 0, &status);
    if (result == TKR_OK)
        result = tkr_repository_increment_detailed_usage(repository, &alice, 0, 812, 94);
    if (result == TKR_ESINK && tkr_repository_error(repository, why, sizeof(why)) == TKR_OK)
        (void)fprintf(stderr, "tokenring: %s\n", why);
    tkr_repository_close(repository);
    tkr_close(options.producer);
    return result != TKR_OK || status.limit != 1000 || status.remaining != 1000;
}
