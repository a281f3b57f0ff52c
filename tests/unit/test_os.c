/* os.h's contract, against the kernel that runs the test. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "bits.h"
#include "child.h"
#include "os.h"
#include "unit.h"

enum { ERRNO_BEFORE = 12345 };

static size_t page_size;

static char *map_pages(size_t pages) {
  char *p = os_map(pages * page_size);
  assert_non_null(p);
  return p;
}

static bool reads_zero(const char *p, size_t size) { return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0; }

TEST(a_page_is_a_power_of_two) {
  assert_true(is_power_of_two(os_page_size()));
  assert_true(os_page_size() >= 4096);
}

TEST(reserved_space_is_usable_once_committed) {
  char *p = os_reserve(4 * page_size);
  assert_non_null(p);
  assert_true(os_commit(p, 2 * page_size));
  assert_true(reads_zero(p, 2 * page_size));
  memset(p, 1, 2 * page_size);
  os_unmap(p, 4 * page_size);
}

TEST(purged_pages_read_zero) {
  char *p = map_pages(4);
  memset(p, 1, 4 * page_size);
  assert_true(os_purge(p + page_size, 2 * page_size));
  assert_true(reads_zero(p + page_size, 2 * page_size));
  assert_int_equal(p[page_size - 1], 1);
  assert_int_equal(p[3 * page_size], 1);
  os_unmap(p, 4 * page_size);
}

TEST(fresh_pages_replace_old_ones) {
  char *p = map_pages(3);
  memset(p, 1, 3 * page_size);
  assert_true(os_map_fresh(p + page_size, page_size));
  assert_true(reads_zero(p + page_size, page_size));
  assert_int_equal(p[0], 1);
  assert_int_equal(p[2 * page_size], 1);
  os_unmap(p, 3 * page_size);
}

TEST(moved_pages_keep_their_bytes_and_leave_a_hole) {
  char *from = map_pages(2), *to = map_pages(5);
  memset(from, 1, 2 * page_size);
  memset(to, 2, 5 * page_size);
  assert_true(os_move_pages(from, 2 * page_size, to, 5 * page_size));
  assert_int_equal(to[0], 1);
  assert_int_equal(to[2 * page_size - 1], 1);
  assert_true(reads_zero(to + 2 * page_size, 3 * page_size));
  assert_true(os_fill_hole(from, 2 * page_size));
  assert_true(reads_zero(from, 2 * page_size));
  assert_false(os_fill_hole(from, 2 * page_size)); /* no longer a hole */
  os_unmap(from, 2 * page_size);
  os_unmap(to, 5 * page_size);
}

/* A program may have split our mapping: by mlock, mprotect or madvise on its own objects. */
static void move_pages_of_two_mappings(void *unused) {
  (void)unused;
  char *from = map_pages(4), *to = map_pages(8);
  memset(from, 1, 4 * page_size);
  memset(to, 2, 8 * page_size);
  expect(madvise(from + page_size, page_size, MADV_DONTDUMP) == 0);
  if (os_move_pages(from, 4 * page_size, to, 8 * page_size)) return;
  for (size_t i = 0; i < 4 * page_size; i++) expect(from[i] == 1);
  memset(to, 3, 8 * page_size); /* still mapped */
}

TEST(pages_of_two_mappings_move_wholly_or_not_at_all) {
  assert_child_passes(move_pages_of_two_mappings, NULL);
}

TEST(failures_are_told_and_leave_errno_alone) {
  char *p = map_pages(2), *elsewhere = map_pages(2);
  os_unmap(p, 2 * page_size);
  errno = ERRNO_BEFORE;
  assert_null(os_reserve(SIZE_MAX / 2 & ~(page_size - 1)));
  assert_null(os_map(SIZE_MAX / 2 & ~(page_size - 1)));
  assert_int_equal(errno, ERRNO_BEFORE);
  assert_false(os_commit(p, page_size));
  assert_int_equal(errno, ERRNO_BEFORE);
  assert_false(os_purge(p, page_size));
  assert_int_equal(errno, ERRNO_BEFORE);
  assert_false(os_populate(p, page_size));
  assert_int_equal(errno, ERRNO_BEFORE);
  assert_false(os_move_pages(p, page_size, elsewhere, 2 * page_size));
  assert_int_equal(errno, ERRNO_BEFORE);
  assert_false(os_fill_hole(elsewhere, page_size));
  assert_int_equal(errno, ERRNO_BEFORE);
  os_unmap((char *)1, 1); /* not even a page */
  os_futex_wait((uint32_t *)1, 0);
  os_futex_wake((uint32_t *)1, 1);
  os_write(-1, "x", 1);
  assert_int_equal(errno, ERRNO_BEFORE);
}

TEST(what_can_be_read_is_known) {
  const size_t page = os_page_size();
  char *p = os_reserve(2 * page);
  assert_true(os_commit(p, page));
  errno = 77;
  assert_true(os_readable(p, page));
  assert_true(os_readable(p + page - 8, 8));
  assert_false(os_readable(p + page - 8, 16));
  assert_false(os_readable(NULL, 8));
  assert_int_equal(errno, 77);
  os_unmap(p, 2 * page);
}

TEST(clocks_run_forward) {
  uint32_t ms = os_now_ms();
  uint64_t ns = os_now_ns();
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  assert_true(os_now_ns() - ns >= 20000000);
  assert_true(os_now_ms() - ms >= 10); /* its clock is coarse */
  assert_true(os_now_ms() - ms < 1u << 30);
}

static void read_limited_space(void *unused) {
  (void)unused;
  expect(os_address_space_left(0) == SIZE_MAX);
  const size_t bound = (size_t)1 << 47; /* as much as sanitizers map for themselves, and more */
  struct rlimit limit = {bound, bound};
  expect(setrlimit(RLIMIT_AS, &limit) == 0);
  size_t left = os_address_space_left(0);
  expect(left < bound);
  void *p = os_reserve(64 * MIB);
  expect(p != NULL);
  size_t less = os_address_space_left(0);
  expect(less <= left - 64 * MIB && less >= left - 65 * MIB);
}

TEST(the_limit_of_address_space_is_seen) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) skip();
  assert_child_passes(read_limited_space, NULL);
}

static int read_page_size(void **unused) {
  (void)unused;
  page_size = os_page_size();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_page_is_a_power_of_two),
      cmocka_unit_test(reserved_space_is_usable_once_committed),
      cmocka_unit_test(purged_pages_read_zero),
      cmocka_unit_test(fresh_pages_replace_old_ones),
      cmocka_unit_test(moved_pages_keep_their_bytes_and_leave_a_hole),
      cmocka_unit_test(pages_of_two_mappings_move_wholly_or_not_at_all),
      cmocka_unit_test(failures_are_told_and_leave_errno_alone),
      cmocka_unit_test(what_can_be_read_is_known),
      cmocka_unit_test(clocks_run_forward),
      cmocka_unit_test(the_limit_of_address_space_is_seen),
  };
  return cmocka_run_group_tests(tests, read_page_size, NULL);
}
