/* mallinfo, mallinfo2, malloc_info, malloc_stats, malloc_trim, mallopt: what they say must be true. */
#include <fcntl.h>

#include "test.h"

/* glibc has mallinfo2 from 2.33 on. */
struct mallinfo2_figures {
  size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

static struct mallinfo2_figures figures(void) {
  struct mallinfo2_figures (*mallinfo2_function)(void) =
      (struct mallinfo2_figures(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "mallinfo2");
  if (mallinfo2_function == NULL) {
    print_message("skipped: no mallinfo2\n");
    skip();
  }
  return mallinfo2_function();
}

/* Where glibc counts blocks that it maps one by one. */
static size_t used(struct mallinfo2_figures now) { return now.uordblks + now.hblkhd; }

enum { COUNT = 10240 };
static void *objects[COUNT];

static void allocate_all(size_t size) {
  for (int i = 0; i < COUNT; i++) {
    assert_non_null(objects[i] = malloc(size));
    memset(objects[i], 1, size);
  }
}

static void free_all(void) {
  for (int i = 0; i < COUNT; i++) free(objects[i]);
}

static void mallinfo2_counts_small_objects(void **state) {
  (void)state;
  size_t before = used(figures());
  allocate_all(1024);
  size_t grown = used(figures()) - before;
  assert_in_range(grown, 10 * MIB - 10 * MIB / 50, 12 * MIB);
  free_all();
  size_t after = used(figures());
  assert_true(after < before + MIB);
}

static void mallinfo2_counts_large_blocks(void **state) {
  (void)state;
  size_t before = used(figures());
  void *block = malloc(50 * MIB);
  assert_non_null(block);
  assert_in_range(used(figures()) - before, 50 * MIB, 52 * MIB);
  free(block);
  assert_true(used(figures()) < before + MIB);
}

static void mallinfo2_adds_up(void **state) {
  (void)state;
  allocate_all(1024);
  struct mallinfo2_figures now = figures();
  assert_true(now.arena + now.hblkhd >= 10 * MIB);
  assert_true(now.uordblks + now.fordblks <= now.arena + now.hblkhd);
  free_all();
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void mallinfo_agrees(void **state) {
  (void)state;
  struct mallinfo before = mallinfo();
  allocate_all(1024);
  struct mallinfo now = mallinfo();
  assert_in_range((unsigned)now.uordblks - (unsigned)before.uordblks, 10 * MIB - 10 * MIB / 50, 12 * MIB);
  free_all();
  now = mallinfo();
  assert_true((unsigned)now.uordblks < (unsigned)before.uordblks + MIB);
}

#pragma GCC diagnostic pop

/* Well-formed as far as one needs: one root, and every tag closed by its own name. */
static bool is_xml(const char *text) {
  char open[32][64];
  int depth = 0, roots = 0;
  for (const char *tag = strchr(text, '<'); tag; tag = strchr(tag + 1, '<')) {
    const char *end = strchr(tag, '>');
    size_t length = strcspn(tag + 1 + (tag[1] == '/'), " \t\n/>");
    const char *name = tag + 1 + (tag[1] == '/');
    if (end == NULL || length >= sizeof *open || (length == 0)) return false;
    if (tag[1] == '?' || tag[1] == '!') continue;
    if (tag[1] == '/') {
      if (depth-- == 0 || strncmp(open[depth], name, length) != 0 || open[depth][length] != '\0')
        return false;
    } else {
      roots += depth == 0;
      if (end[-1] == '/') continue;
      if (depth == 32) return false;
      memcpy(open[depth], name, length);
      open[depth++][length] = '\0';
    }
  }
  return depth == 0 && roots == 1;
}

static void malloc_info_writes_xml(void **state) {
  (void)state;
  char text[32 * 1024];
  FILE *file = tmpfile();
  if (file == NULL) {
    print_message("skipped: no temporary file\n");
    skip();
  }
  assert_int_equal(malloc_info(0, file), 0);
  rewind(file);
  size_t length = fread(text, 1, sizeof text - 1, file);
  text[length] = '\0';
  fclose(file);
  assert_true(length > 0);
  assert_int_equal(strncmp(text, "<malloc", strlen("<malloc")), 0);
  assert_true(is_xml(text));
}

static void malloc_info_knows_no_options(void **state) {
  (void)state;
  int result = malloc_info(1, stdout);
  assert_true(result == EINVAL || (result == -1 && errno == EINVAL));
}

static void malloc_stats_writes_to_stderr(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  malloc_stats();
  fflush(stderr);
  dup2(saved, STDERR_FILENO);
  char text[4096];
  assert_true(read(ends[0], text, sizeof text) > 0);
  close(saved);
  close(ends[0]);
  close(ends[1]);
}

static void malloc_trim_says_whether_it_could(void **state) {
  (void)state;
  allocate_all(4000);
  free_all();
  int result = malloc_trim(0);
  assert_true(result == 0 || result == 1);
  malloc_trim(0);
  assert_int_equal(malloc_trim(0), 0);
}

static void mallopt_takes_the_known_parameters(void **state) {
  (void)state;
  assert_int_equal(mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
  assert_int_equal(mallopt(M_TRIM_THRESHOLD, 1 << 20), 1);
  assert_int_equal(mallopt(M_ARENA_MAX, 2), 1);
  free(malloc(100));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mallinfo2_counts_small_objects),
      cmocka_unit_test(mallinfo2_counts_large_blocks),
      cmocka_unit_test(mallinfo2_adds_up),
      cmocka_unit_test(mallinfo_agrees),
      cmocka_unit_test(malloc_info_writes_xml),
      cmocka_unit_test(malloc_info_knows_no_options),
      cmocka_unit_test(malloc_stats_writes_to_stderr),
      cmocka_unit_test(malloc_trim_says_whether_it_could),
      cmocka_unit_test(mallopt_takes_the_known_parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
