/* SPDX-License-Identifier: Apache-2.0 */
/* What the collector makes of files in the runtime directory: half-made regions, broken ones, hostile ones. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "region/guard.h"
#include "region/name.h"
#include "region/region.h"
#include "region/view.h"
#include "support/tempdir.h"
#include "support/test.h"

#define NAME TKR_REGION_PREFIX "00112233445566778899aabbccddeeff"
#define LANES_END (TKR_REGION_HEADER_BYTES + TKR_REGION_LANES_MAX * sizeof(struct tkr_lane))
#define SLOTS_MAX 8u
#define DATA_OFFSET (LANES_END + 3 * 4096u)
#define FILE_BYTES (DATA_OFFSET + 4 * TKR_LANE_BYTES_MIN)

/* A region built by hand: the file, mapped. */
static struct {
    char dir[TEMPDIR_BYTES];
    int directory;
    int fd;
    struct tkr_region_header *header;
    struct tkr_lane *lanes;
    struct tkr_call_slot *slots;
    unsigned char *base;
} made;

static int make_region(void **state)
{
    static const uint8_t id[] = {0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

    (void)state;
    if (tempdir_make(made.dir) != 0)
        return -1;
    made.directory = open(made.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    made.fd = openat(made.directory, NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made.fd < 0 || ftruncate(made.fd, (off_t)FILE_BYTES) != 0)
        return -1;
    made.base = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, made.fd, 0);
    if (made.base == MAP_FAILED)
        return -1;
    made.header = (struct tkr_region_header *)(void *)made.base;
    made.lanes = (struct tkr_lane *)(void *)(made.base + TKR_REGION_HEADER_BYTES);
    made.slots = (struct tkr_call_slot *)(void *)(made.base + LANES_END);
    made.header->major = TKR_REGION_MAJOR;
    made.header->minor = TKR_REGION_MINOR;
    made.header->bytes = FILE_BYTES;
    made.header->slots_offset = LANES_END;
    made.header->data_offset = DATA_OFFSET;
    made.header->lanes_max = TKR_REGION_LANES_MAX;
    made.header->slots_max = SLOTS_MAX;
    made.header->slot_bytes = TKR_CALL_SLOT_BYTES;
    made.header->pid = 4711;
    memcpy(made.header->id, id, sizeof(id));
    memcpy(made.header->command, "sixteen letters!", 16);
    atomic_store(&made.header->magic, TKR_REGION_MAGIC);
    return tkr_boot_id(made.header->boot_id) ? 0 : -1;
}

static int remove_region(void **state)
{
    (void)state;
    (void)munmap(made.base, FILE_BYTES);
    (void)close(made.fd);
    (void)close(made.directory);
    tempdir_remove(made.dir);
    return 0;
}

/* Opens and closes; the message is there when it is not TKR_VIEW_OK. */
static enum tkr_view_result look_as(const char *name, bool writable)
{
    struct tkr_view *view = NULL;
    tkr_message message = {""};
    enum tkr_view_result result = tkr_view_open(made.directory, name, writable, &view, &message);

    assert_true((result == TKR_VIEW_OK) == (view != NULL));
    assert_true((result == TKR_VIEW_OK) == (message.text[0] == '\0'));
    tkr_view_close(view);
    return result;
}

/* As the collector and as the tools do; both must agree. */
static enum tkr_view_result look(const char *name)
{
    enum tkr_view_result result = look_as(name, true);

    assert_int_equal(look_as(name, false), result);
    return result;
}

static struct tkr_view *open_view(void)
{
    struct tkr_view *view = NULL;
    tkr_message message = {""};

    assert_true(tkr_guard_install()); /* here, as cmocka takes the signal for itself before each test */
    assert_int_equal(tkr_view_open(made.directory, NAME, true, &view, &message), TKR_VIEW_OK);
    return view;
}

static void test_view_good_region_opens_with_what_it_says(void **state)
{
    struct tkr_view *view = open_view();

    (void)state;
    assert_int_equal(view->slots_max, SLOTS_MAX);
    assert_int_equal(view->pid, 4711);
    assert_string_equal(view->command, "sixteen letters!");
    assert_int_equal(view->lane_count, 0);
    assert_int_equal(view->owner, geteuid());
    tkr_view_close(view);
}

static void test_view_names_that_are_no_regions_are_refused(void **state)
{
    static const char *const names[] = {"",
                                        "region-",
                                        ".region-00112233445566778899aabbccddeeff",
                                        "region-00112233445566778899aabbccddeef",
                                        "region-00112233445566778899aabbccddeefff",
                                        "region-00112233445566778899AABBCCDDEEFF",
                                        "region-00112233445566778899aabbccddeefg",
                                        "Region-00112233445566778899aabbccddeeff",
                                        "region",
                                        "region_00112233445566778899aabbccddeeff",
                                        "xregion-00112233445566778899aabbccddeeff"};
    uint8_t id[TKR_REGION_ID_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(tkr_region_name_parse(names[i], id));
    assert_true(tkr_region_name_parse(NAME, id));
    assert_memory_equal(id, made.header->id, sizeof(id));
}

/* --- the moments of the making, as region/layout.h lists them --- */

static void test_moment_absent_is_gone(void **state)
{
    (void)state;
    assert_int_equal(unlinkat(made.directory, NAME, 0), 0);
    assert_int_equal(look(NAME), TKR_VIEW_GONE);
}

static void test_moment_empty_is_broken(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(made.fd, 0), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_moment_sized_not_initialised_is_broken(void **state)
{
    (void)state;
    memset(made.base, 0, LANES_END);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_moment_initialised_magic_unset_is_broken(void **state)
{
    (void)state;
    atomic_store(&made.header->magic, 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_moment_magic_set_not_renamed_is_no_region_yet(void **state)
{
    static const char name_new[] = TKR_REGION_PREFIX_NEW "00112233445566778899aabbccddeeff";
    uint8_t id[TKR_REGION_ID_BYTES];

    (void)state;
    assert_int_equal(renameat(made.directory, NAME, made.directory, name_new), 0);
    assert_false(tkr_region_name_parse(name_new, id));
    assert_int_equal(look(name_new), TKR_VIEW_BROKEN);
    assert_int_equal(look(NAME), TKR_VIEW_GONE);
    assert_int_equal(renameat(made.directory, name_new, made.directory, NAME), 0);
    assert_int_equal(look(NAME), TKR_VIEW_OK);
}

/* --- what else may lie there --- */

static void test_view_shorter_than_its_directory_is_broken(void **state)
{
    static const off_t sizes[] = {1, 8, 4095, 4096, 8192, (off_t)LANES_END - 1};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(ftruncate(made.fd, sizes[i]), 0);
        assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
    }
}

static void test_view_other_size_than_it_says_is_broken(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(made.fd, (off_t)FILE_BYTES + 4096), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
    assert_int_equal(ftruncate(made.fd, (off_t)FILE_BYTES - 4096), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

/* Sparse, it costs its owner nothing; it must not cost the collector its address space. */
static void test_view_absurdly_large_is_broken(void **state)
{
    static const off_t sizes[] = {(off_t)TKR_REGION_BYTES_MAX + 4096, (off_t)1 << 46, (off_t)1 << 50};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(ftruncate(made.fd, sizes[i]), 0);
        made.header->bytes = (uint64_t)sizes[i];
        assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
    }
}

static void test_view_link_is_broken_and_not_followed(void **state)
{
    (void)state;
    assert_int_equal(renameat(made.directory, NAME, made.directory, "target"), 0);
    assert_int_equal(symlinkat("target", made.directory, NAME), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_view_fifo_is_broken_and_does_not_wait(void **state)
{
    (void)state;
    assert_int_equal(unlinkat(made.directory, NAME, 0), 0);
    assert_int_equal(mkfifoat(made.directory, NAME, 0600), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_view_directory_is_broken(void **state)
{
    (void)state;
    assert_int_equal(unlinkat(made.directory, NAME, 0), 0);
    assert_int_equal(mkdirat(made.directory, NAME, 0700), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_view_socket_is_broken(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(unlinkat(made.directory, NAME, 0), 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/" NAME, made.dir);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
    assert_int_equal(close(fd), 0);
}

static void test_view_other_boot_is_never_read(void **state)
{
    (void)state;
    made.header->boot_id[3] ^= 1;
    assert_int_equal(look(NAME), TKR_VIEW_OTHER);
    made.header->slots_offset = UINT64_MAX; /* whatever else it says */
    assert_int_equal(look(NAME), TKR_VIEW_OTHER);
}

static void test_view_newer_layout_is_left_alone(void **state)
{
    (void)state;
    made.header->major = TKR_REGION_MAJOR + 1;
    made.header->lanes_max = 0; /* its geometry may be any */
    made.header->boot_id[0] ^= 1;
    assert_int_equal(look(NAME), TKR_VIEW_NEWER);
    made.header->major = UINT32_MAX;
    assert_int_equal(look(NAME), TKR_VIEW_NEWER);
}

static void test_view_newer_minor_is_read(void **state)
{
    (void)state;
    made.header->minor = 99;
    assert_int_equal(look(NAME), TKR_VIEW_OK);
}

static void test_view_layout_too_old_is_left_alone(void **state)
{
    (void)state;
    made.header->major = TKR_REGION_MAJOR_OLDEST - 1;
    made.header->lanes_max = 0; /* its geometry may be any */
    assert_int_equal(look(NAME), TKR_VIEW_OLDER);
}

static void test_view_each_wrong_field_of_the_header_is_broken(void **state)
{
    (void)state;
#define BROKEN(field, value)                                  \
    do {                                                      \
        struct tkr_region_header was;                         \
        memcpy(&was, made.header, sizeof(was));               \
        made.header->field = (value);                         \
        if (look(NAME) != TKR_VIEW_BROKEN)                    \
            fail_msg("%s = %s was accepted", #field, #value); \
        memcpy(made.header, &was, sizeof(was));               \
    } while (0)
    BROKEN(magic, TKR_REGION_MAGIC + 1);
    BROKEN(magic, UINT64_MAX);
    BROKEN(bytes, 0);
    BROKEN(bytes, FILE_BYTES - 1);
    BROKEN(bytes, FILE_BYTES + 1);
    BROKEN(bytes, UINT64_MAX);
    BROKEN(lanes_max, 0);
    BROKEN(lanes_max, TKR_REGION_LANES_MAX - 1);
    BROKEN(lanes_max, TKR_REGION_LANES_MAX + 1);
    BROKEN(lanes_max, UINT32_MAX);
    BROKEN(slot_bytes, 0);
    BROKEN(slot_bytes, TKR_CALL_SLOT_BYTES - 64);
    BROKEN(slot_bytes, UINT32_MAX);
    BROKEN(slots_max, SLOTS_MAX + 1); /* they would reach into the data */
    BROKEN(slots_max, TKR_REGION_SLOTS_MAX + 1);
    BROKEN(slots_max, UINT32_MAX);
    BROKEN(slots_offset, 0);
    BROKEN(slots_offset, LANES_END - 8);
    BROKEN(slots_offset, LANES_END + 4);
    BROKEN(slots_offset, DATA_OFFSET);
    BROKEN(slots_offset, FILE_BYTES);
    BROKEN(slots_offset, FILE_BYTES + 8);
    BROKEN(slots_offset, UINT64_MAX);
    BROKEN(slots_offset, UINT64_MAX - 7);
    BROKEN(data_offset, 0);
    BROKEN(data_offset, LANES_END);
    BROKEN(data_offset, DATA_OFFSET + 4);
    BROKEN(data_offset, FILE_BYTES + 8);
    BROKEN(data_offset, UINT64_MAX);
    BROKEN(data_offset, UINT64_MAX - 7);
    BROKEN(id[0], 0xff);
    BROKEN(id[15], 0);
    BROKEN(inode, 1); /* a copy */
    BROKEN(inode, UINT64_MAX);
#undef BROKEN
    assert_int_equal(look(NAME), TKR_VIEW_OK);
}

static void test_view_own_inode_or_none_is_no_copy(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(fstat(made.fd, &status), 0);
    made.header->inode = status.st_ino;
    assert_int_equal(look(NAME), TKR_VIEW_OK);
    made.header->inode = 0; /* of minor 0, which did not say */
    assert_int_equal(look(NAME), TKR_VIEW_OK);
}

static void test_view_retired_region_is_never_opened_again(void **state)
{
    struct tkr_view *view = open_view();

    (void)state;
    tkr_view_retire(view);
    tkr_view_close(view);
    assert_int_equal(look(NAME), TKR_VIEW_RETIRED);
}

/* --- lanes --- */

static void add_lane(uint32_t number, uint64_t offset, uint64_t capacity)
{
    made.lanes[number].offset = offset;
    made.lanes[number].capacity = capacity;
    atomic_store(&made.header->lane_count, number + 1);
}

static void test_view_each_impossible_lane_is_refused(void **state)
{
    static const struct {
        uint64_t offset, capacity;
    } lanes[] = {
        {DATA_OFFSET, 0},
        {DATA_OFFSET, TKR_LANE_BYTES_MIN / 2},
        {DATA_OFFSET, TKR_LANE_BYTES_MIN + 8},
        {DATA_OFFSET, TKR_LANE_BYTES_MIN * 3},
        {DATA_OFFSET, TKR_LANE_BYTES_MIN * 8}, /* longer than the file */
        {DATA_OFFSET, TKR_LANE_BYTES_MAX * 2},
        {DATA_OFFSET, UINT64_C(1) << 63},
        {DATA_OFFSET, UINT64_MAX},
        {DATA_OFFSET - 8, TKR_LANE_BYTES_MIN},
        {DATA_OFFSET + 4, TKR_LANE_BYTES_MIN},
        {0, TKR_LANE_BYTES_MIN},
        {FILE_BYTES, TKR_LANE_BYTES_MIN},
        {FILE_BYTES - TKR_LANE_BYTES_MIN + 8, TKR_LANE_BYTES_MIN},
        {FILE_BYTES + 8, TKR_LANE_BYTES_MIN},
        {UINT64_MAX - 7, TKR_LANE_BYTES_MIN},
        {UINT64_MAX - TKR_LANE_BYTES_MIN + 1, TKR_LANE_BYTES_MIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
        struct tkr_view *view = open_view();
        add_lane(0, lanes[i].offset, lanes[i].capacity);
        if (tkr_view_lanes_refresh(view))
            fail_msg("lane %zu of the table was accepted", i);
        tkr_view_close(view);
    }
    for (uint64_t n = 0; n < 4; n++) { /* and these are good */
        struct tkr_view *view = open_view();
        add_lane(0, DATA_OFFSET + n * TKR_LANE_BYTES_MIN, TKR_LANE_BYTES_MIN);
        assert_true(tkr_view_lanes_refresh(view));
        tkr_view_close(view);
    }
}

static void test_view_lane_counts_that_shrink_or_are_too_large_are_refused(void **state)
{
    struct tkr_view *view = open_view();

    (void)state;
    for (uint32_t i = 0; i < TKR_REGION_LANES_MAX; i++)
        add_lane(i, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    assert_true(tkr_view_lanes_refresh(view));
    assert_int_equal(view->lane_count, TKR_REGION_LANES_MAX);
    assert_true(tkr_view_lanes_refresh(view));
    atomic_store(&made.header->lane_count, TKR_REGION_LANES_MAX + 1);
    assert_false(tkr_view_lanes_refresh(view));
    atomic_store(&made.header->lane_count, UINT64_C(1) << 32);
    assert_false(tkr_view_lanes_refresh(view));
    atomic_store(&made.header->lane_count, 3);
    assert_false(tkr_view_lanes_refresh(view));
    tkr_view_close(view);
}

/* Geometry is taken once: what its owner changes afterwards is not looked at. */
static void test_view_lane_changed_after_it_was_checked_is_not_believed(void **state)
{
    struct tkr_view *view = open_view();
    unsigned char bytes[64];
    uint64_t head = 0;
    size_t count = 0;

    (void)state;
    add_lane(0, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    assert_true(tkr_view_lanes_refresh(view));
    memset(made.base + DATA_OFFSET, 0x42, 64);
    atomic_store(&made.lanes[0].head, 64);
    made.lanes[0].offset = UINT64_MAX - 7;
    made.lanes[0].capacity = UINT64_C(1) << 63;
    made.header->data_offset = 0;
    assert_true(tkr_view_lanes_refresh(view));
    assert_true(tkr_view_lane_read(view, 0, 0, bytes, sizeof(bytes), &count, &head));
    assert_int_equal(count, 64);
    assert_int_equal(head, 64);
    assert_int_equal(bytes[63], 0x42);
    tkr_view_close(view);
}

static void test_view_lane_read_stops_at_the_end_at_max_and_at_head(void **state)
{
    static unsigned char bytes[2 * TKR_LANE_BYTES_MIN];
    struct tkr_view *view = open_view();
    uint64_t position = 3 * TKR_LANE_BYTES_MIN - 64;
    uint64_t head = 0;
    size_t count = 99;

    (void)state;
    add_lane(0, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    assert_true(tkr_view_lanes_refresh(view));
    memset(made.base + DATA_OFFSET, 0x11, TKR_LANE_BYTES_MIN);
    memset(made.base + DATA_OFFSET + TKR_LANE_BYTES_MIN - 64, 0x22, 64);
    atomic_store(&made.lanes[0].head, position + 100 * 8);
    assert_true(tkr_view_lane_read(view, 0, position, bytes, sizeof(bytes), &count, &head));
    assert_int_equal(count, 64);
    assert_int_equal(bytes[0], 0x22);
    assert_int_equal(bytes[63], 0x22);
    assert_true(tkr_view_lane_read(view, 0, position + 64, bytes, sizeof(bytes), &count, &head));
    assert_int_equal(count, 100 * 8 - 64);
    assert_int_equal(bytes[0], 0x11);
    assert_true(tkr_view_lane_read(view, 0, position + 64, bytes, 48, &count, &head));
    assert_int_equal(count, 48);
    assert_true(tkr_view_lane_read(view, 0, position + 800, bytes, sizeof(bytes), &count, &head));
    assert_int_equal(count, 0);
    tkr_view_close(view);
}

static void test_view_impossible_heads_are_refused(void **state)
{
    static unsigned char bytes[TKR_LANE_BYTES_MIN];
    static const int64_t distances[] = {-8, -4096, 4, 7, (int64_t)TKR_LANE_BYTES_MIN + 8, INT64_MIN, INT64_MAX};
    struct tkr_view *view = open_view();
    uint64_t position = 5 * TKR_LANE_BYTES_MIN;

    (void)state;
    add_lane(0, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    assert_true(tkr_view_lanes_refresh(view));
    for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        uint64_t head;
        size_t count;
        atomic_store(&made.lanes[0].head, position + (uint64_t)distances[i]);
        assert_false(tkr_view_lane_read(view, 0, position, bytes, sizeof(bytes), &count, &head));
    }
    tkr_view_close(view);
}

/* --- slots --- */

static void test_view_slot_count_beyond_the_slots_is_refused(void **state)
{
    struct tkr_view *view = open_view();
    uint32_t count = 0;

    (void)state;
    atomic_store(&made.header->slot_count, SLOTS_MAX);
    assert_true(tkr_view_slot_count(view, &count));
    assert_int_equal(count, SLOTS_MAX);
    atomic_store(&made.header->slot_count, SLOTS_MAX + 1);
    assert_false(tkr_view_slot_count(view, &count));
    atomic_store(&made.header->slot_count, UINT64_C(1) << 32);
    assert_false(tkr_view_slot_count(view, &count));
    tkr_view_close(view);
}

/* The leavings of a kill at each moment of a call's life, as region/call.h lists them. */
static void test_view_slot_open_is_told_for_each_moment_of_a_call(void **state)
{
    tkr_start start = TKR_START_INIT;
    struct tkr_call_slot copy;
    struct tkr_view *view;
    bool open = true;

    (void)state;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "alice", .len = 5};
    add_lane(0, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    add_lane(1, DATA_OFFSET + TKR_LANE_BYTES_MIN, TKR_LANE_BYTES_MIN);
    atomic_store(&made.header->slot_count, SLOTS_MAX);
    view = open_view();
    assert_true(tkr_view_lanes_refresh(view));
#define SLOT_OPEN() (assert_true(tkr_view_slot_read(view, 3, &copy, &open)), open)
    assert_false(SLOT_OPEN());      /* never used */
    made.slots[3].head_bytes = 777; /* killed within begin, before OPEN */
    memset(made.slots[3].frame, 0xff, 100);
    assert_false(SLOT_OPEN());
    (void)tkr_call_slot_begin(&made.slots[3], 3, 1, &start, 20240101, 1000, 0);
    assert_true(SLOT_OPEN());
    assert_int_equal(tkr_call_slot_progress(&made.slots[3], 0, 55), TKR_OK);
    assert_true(SLOT_OPEN());
    assert_int_equal(tkr_call_slot_streamed(&copy), 55);
    assert_memory_equal(copy.frame, made.slots[3].frame, made.slots[3].head_bytes);
    assert_int_equal(tkr_call_slot_claim(&made.slots[3], 0), TKR_OK);
    assert_true(SLOT_OPEN()); /* claimed, nothing noted */
    atomic_store(&made.slots[3].end_lane, 1);
    assert_true(SLOT_OPEN()); /* the lane noted, the position not */
    tkr_call_slot_note(&made.slots[3], 1, 4096);
    assert_true(SLOT_OPEN());                /* noted, not published */
    atomic_store(&made.lanes[0].head, 8192); /* another lane's head is no matter */
    assert_true(SLOT_OPEN());
    atomic_store(&made.lanes[1].head, 4088);
    assert_true(SLOT_OPEN());
    atomic_store(&made.lanes[1].head, 4096); /* published: ended, though not yet freed */
    assert_false(SLOT_OPEN());
    atomic_store(&made.lanes[1].head, 5000 * 8); /* others published behind it */
    assert_false(SLOT_OPEN());
    tkr_call_slot_free(&made.slots[3]);
    assert_false(SLOT_OPEN());
    (void)tkr_call_slot_begin(&made.slots[3], 3, 1, &start, 20240101, 1000, 0);
    assert_true(SLOT_OPEN()); /* the note of the call before does not end this one */
    assert_int_equal(tkr_call_slot_claim(&made.slots[3], 1), TKR_OK);
    assert_true(SLOT_OPEN());
    tkr_call_slot_note(&made.slots[3], 7, 64); /* a lane that is not there */
    assert_false(tkr_view_slot_read(view, 3, &copy, &open));
#undef SLOT_OPEN
    tkr_view_close(view);
}

/* --- truncated under the mapping --- */

static void test_view_truncated_under_the_mapping_answers_false(void **state)
{
    static unsigned char bytes[TKR_LANE_BYTES_MIN];
    struct tkr_view *view;
    struct tkr_call_slot slot;
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t refused[TKR_REFUSED_MAX];
    uint64_t head;
    uint32_t slots;
    size_t count;
    bool open;

    (void)state;
    add_lane(0, DATA_OFFSET, TKR_LANE_BYTES_MIN);
    atomic_store(&made.lanes[0].head, 800);
    view = open_view();
    assert_true(tkr_view_lanes_refresh(view));
    assert_true(tkr_view_lane_read(view, 0, 0, bytes, sizeof(bytes), &count, &head));
    assert_true(tkr_view_touch(view, 5));
    assert_int_equal(atomic_load(&made.header->collector_seen_ns), 5);
    /* First the data, then the slots, then all. */
    assert_int_equal(ftruncate(made.fd, (off_t)DATA_OFFSET), 0);
    assert_false(tkr_view_lane_read(view, 0, 0, bytes, sizeof(bytes), &count, &head));
    assert_true(tkr_view_lane_head(view, 0, &head));
    assert_true(tkr_view_slot_read(view, 0, &slot, &open));
    assert_int_equal(ftruncate(made.fd, (off_t)LANES_END), 0);
    assert_false(tkr_view_slot_read(view, 0, &slot, &open));
    assert_true(tkr_view_lane_release(view, 0, 0, 0));
    for (int i = 0; i < 3; i++) { /* again and again: the handler stays */
        assert_int_equal(ftruncate(made.fd, 0), 0);
        assert_false(tkr_view_lane_head(view, 0, &head));
        assert_false(tkr_view_lane_sequence(view, 0, &head));
        assert_false(tkr_view_lane_read(view, 0, 0, bytes, sizeof(bytes), &count, &head));
        assert_false(tkr_view_lane_release(view, 0, 8, 1));
        assert_false(tkr_view_touch(view, 5));
        assert_false(tkr_view_counters(view, dropped, refused));
        assert_false(tkr_view_slot_count(view, &slots));
        assert_false(tkr_view_lanes_refresh(view));
    }
    tkr_view_close(view);
    assert_int_equal(look(NAME), TKR_VIEW_BROKEN);
}

static void test_view_counters_are_copied(void **state)
{
    struct tkr_view *view = open_view();
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t refused[TKR_REFUSED_MAX];

    (void)state;
    for (uint64_t i = 0; i < TKR_DROP_MAX; i++)
        atomic_store(&made.header->dropped[i], 100 + i);
    for (uint64_t i = 0; i < TKR_REFUSED_MAX; i++)
        atomic_store(&made.header->refused[i], 200 + i);
    assert_true(tkr_view_counters(view, dropped, refused));
    for (uint64_t i = 0; i < TKR_DROP_MAX; i++)
        assert_int_equal(dropped[i], 100 + i);
    for (uint64_t i = 0; i < TKR_REFUSED_MAX; i++)
        assert_int_equal(refused[i], 200 + i);
    tkr_view_close(view);
}

static void test_view_close_takes_null(void **state)
{
    (void)state;
    tkr_view_close(NULL);
}

#define VIEW_TEST(name) cmocka_unit_test_setup_teardown(name, make_region, remove_region)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIEW_TEST(test_view_good_region_opens_with_what_it_says),
        VIEW_TEST(test_view_names_that_are_no_regions_are_refused),
        VIEW_TEST(test_moment_absent_is_gone),
        VIEW_TEST(test_moment_empty_is_broken),
        VIEW_TEST(test_moment_sized_not_initialised_is_broken),
        VIEW_TEST(test_moment_initialised_magic_unset_is_broken),
        VIEW_TEST(test_moment_magic_set_not_renamed_is_no_region_yet),
        VIEW_TEST(test_view_shorter_than_its_directory_is_broken),
        VIEW_TEST(test_view_other_size_than_it_says_is_broken),
        VIEW_TEST(test_view_absurdly_large_is_broken),
        VIEW_TEST(test_view_link_is_broken_and_not_followed),
        VIEW_TEST(test_view_fifo_is_broken_and_does_not_wait),
        VIEW_TEST(test_view_directory_is_broken),
        VIEW_TEST(test_view_socket_is_broken),
        VIEW_TEST(test_view_other_boot_is_never_read),
        VIEW_TEST(test_view_newer_layout_is_left_alone),
        VIEW_TEST(test_view_newer_minor_is_read),
        VIEW_TEST(test_view_layout_too_old_is_left_alone),
        VIEW_TEST(test_view_each_wrong_field_of_the_header_is_broken),
        VIEW_TEST(test_view_own_inode_or_none_is_no_copy),
        VIEW_TEST(test_view_retired_region_is_never_opened_again),
        VIEW_TEST(test_view_each_impossible_lane_is_refused),
        VIEW_TEST(test_view_lane_counts_that_shrink_or_are_too_large_are_refused),
        VIEW_TEST(test_view_lane_changed_after_it_was_checked_is_not_believed),
        VIEW_TEST(test_view_lane_read_stops_at_the_end_at_max_and_at_head),
        VIEW_TEST(test_view_impossible_heads_are_refused),
        VIEW_TEST(test_view_slot_count_beyond_the_slots_is_refused),
        VIEW_TEST(test_view_slot_open_is_told_for_each_moment_of_a_call),
        VIEW_TEST(test_view_truncated_under_the_mapping_answers_false),
        VIEW_TEST(test_view_counters_are_copied),
        VIEW_TEST(test_view_close_takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
