/* What cannot be had: absurd sizes, and honest sizes under RLIMIT_AS and RLIMIT_DATA. NULL and ENOMEM, then
 * on. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "test.h"

static void *calloc_of_many(size_t size) { return calloc(size, 1); }
static void *calloc_of_one(size_t size) { return calloc(1, size); }
static void *calloc_of_pairs(size_t size) { return calloc(size / 2 + 1, 2); }
static void *realloc_of_null(size_t size) { return realloc(NULL, size); }
static void *reallocarray_of_null(size_t size) { return reallocarray(NULL, 1, size); }
static void *memalign_to_64(size_t size) { return memalign(64, size); }
static void *memalign_to_1m(size_t size) { return memalign(MIB, size); }
static void *aligned_alloc_to_64(size_t size) { return aligned_alloc(64, size); }

static void *posix_memalign_to_64(size_t size) {
  char untouched;
  void *object = &untouched;
  int error = posix_memalign(&object, 64, size);
  if (error == 0) return object;
  errno = object == &untouched ? error : -1;
  return NULL;
}

static const struct {
  const char *name;
  void *(*allocate)(size_t size);
} allocators[] = {
    {"malloc", malloc},
    {"calloc(n, 1)", calloc_of_many},
    {"calloc(1, n)", calloc_of_one},
    {"calloc(n / 2, 2)", calloc_of_pairs},
    {"realloc", realloc_of_null},
    {"reallocarray", reallocarray_of_null},
    {"memalign(64)", memalign_to_64},
    {"memalign(1 MiB)", memalign_to_1m},
    {"aligned_alloc", aligned_alloc_to_64},
    {"posix_memalign", posix_memalign_to_64},
    {"valloc", valloc},
    {"pvalloc", pvalloc},
};

static void absurd_sizes_give_enomem(void **state) {
  (void)state;
  static const size_t sizes[] = {
      (size_t)1 << 56,
      (size_t)1 << 62,
      PTRDIFF_MAX - 4096,
      PTRDIFF_MAX,
      (size_t)PTRDIFF_MAX + 1,
      (size_t)PTRDIFF_MAX + 4096,
      SIZE_MAX - 8192,
      SIZE_MAX - 4096,
      SIZE_MAX - 4095,
      SIZE_MAX - 16,
      SIZE_MAX - 1,
      SIZE_MAX,
  };
  for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
    for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
      errno = 0;
      void *object = opaque(allocators[i].allocate(opaque_size(sizes[j])));
      if (object != NULL || errno != ENOMEM)
        fail_msg("%s of %#zx bytes gives %p, errno %d", allocators[i].name, sizes[j], object, errno);
    }
  }
}

static void products_that_overflow_give_enomem(void **state) {
  (void)state;
  static const size_t factors[][2] = {
      {SIZE_MAX / 2 + 1, 2}, {2, SIZE_MAX / 2 + 1},   {(size_t)1 << 33, (size_t)1 << 33},
      {SIZE_MAX, SIZE_MAX},  {SIZE_MAX / 16 + 2, 16}, {SIZE_MAX, 2},
  };
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
    errno = 0;
    assert_null(opaque(calloc(opaque_size(factors[i][0]), opaque_size(factors[i][1]))));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(opaque(reallocarray(NULL, opaque_size(factors[i][0]), opaque_size(factors[i][1]))));
    assert_int_equal(errno, ENOMEM);
  }
}

struct node {
  struct node *next;
};

/* Allocates till nothing more is to be had, frees everything, and says how many bytes there were. */
static size_t fill_and_free(size_t size) {
  struct node *list = NULL, *node;
  size_t total = 0;
  errno = 0;
  while ((node = malloc(size)) != NULL) {
    node->next = list;
    list = node;
    total += size;
  }
  bool refused = errno == ENOMEM;
  errno = 0;
  refused = refused && opaque(calloc(1000, size)) == NULL && errno == ENOMEM;
  for (int i = 0; i < 1000 && list != NULL; i++) { /* less than it has, a block can always keep */
    struct node *next = list->next;
    node = realloc(list, sizeof *list + (size_t)i % 8);
    if (node == NULL || node->next != next) {
      fprintf(stderr, "realloc of %zu bytes to fewer: %p\n", size, (void *)node);
      return 0;
    }
    list = node->next;
    free(node);
  }
  while (list) {
    node = list->next;
    free(list);
    list = node;
  }
  return refused ? total : 0;
}

static void *allocate_a_little(void *argument) {
  free(malloc(1000));
  return argument;
}

/* An arena that takes the whole address space would leave none for thread stacks. */
static bool threads_can_start(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    if (pthread_create(&threads[i], NULL, allocate_a_little, NULL) != 0) return false;
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  return true;
}

/* The program under the limit: exhausts it with one size after another. Each must get a fair share of it. */
static int exhaust(size_t limit, int size_count, char **sizes) {
  if (!threads_can_start()) {
    fprintf(stderr, "no threads under a limit of %zu MiB\n", limit / MIB);
    return 1;
  }
  for (int i = 0; i < size_count; i++) {
    size_t size = strtoul(sizes[i], NULL, 10);
    size_t total = fill_and_free(size);
    if (total < limit / 4) {
      fprintf(stderr, "%zu MiB in objects of %zu bytes under a limit of %zu MiB\n", total / MIB, size,
              limit / MIB);
      return 1;
    }
  }
  return 0;
}

/* The limit has to be there before the allocator is, hence the exec. */
static void run_under_limit(int resource, const char *limit, const char *const *sizes) {
  pid_t child = fork();
  if (child == 0) {
    rlim_t bytes = strtoul(limit, NULL, 10);
    setrlimit(resource, &(struct rlimit){bytes, bytes});
    const char *arguments[12] = {"limit_test", limit};
    for (int i = 0; sizes[i]; i++) arguments[2 + i] = sizes[i];
    execv("/proc/self/exe", (char **)(uintptr_t)arguments);
    _exit(127);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static const char *const all_sizes[] = {"64", "1000", "20000", "1048576", "64", "33554432", "300", NULL};
static const char *const large_sizes[] = {"1048576", "100000000", "3000000", "200000", "1048576", NULL};

static void address_space_of_128_mib(void **state) {
  (void)state;
  static const char *const sizes[] = {"64", "5000", "1000000", "64", NULL};
  run_under_limit(RLIMIT_AS, "134217728", sizes);
}

static void address_space_of_512_mib(void **state) {
  (void)state;
  run_under_limit(RLIMIT_AS, "536870912", all_sizes);
}

static void address_space_of_2_gib(void **state) {
  (void)state;
  run_under_limit(RLIMIT_AS, "2147483648", large_sizes);
}

/* The smallest have bitmaps of their own, for which there is nothing left but what the heap itself has free. */
static void data_of_128_mib(void **state) {
  (void)state;
  static const char *const sizes[] = {"1000", "16", "1000", "24", "48", NULL};
  run_under_limit(RLIMIT_DATA, "134217728", sizes);
}

/* What caches hold is given up for a block that grows. */
static void caches_are_given_up_for_realloc(void **state) {
  (void)state;
  static const char *const sizes[] = {"grow", NULL};
  run_under_limit(RLIMIT_AS, "230000000", sizes);
}

/* Freed at random, what the caches have lies in every span. */
static int grow(void) {
  enum { SIZE = 100, OBJECTS = 2000000, LARGE = 60000000 };
  struct dice dice = {1};
  size_t count = 0;
  void **object = malloc(OBJECTS * sizeof *object), *large = malloc(40000);
  if (object == NULL || large == NULL) return 1;
  while (count < OBJECTS && (object[count] = malloc(SIZE)) != NULL) count++;
  while (count > 0) {
    size_t i = dice_below(&dice, count);
    free(object[i]);
    object[i] = object[--count];
  }
  return opaque(realloc(large, LARGE)) == NULL;
}

static void data_of_256_mib(void **state) {
  (void)state;
  run_under_limit(RLIMIT_DATA, "268435456", all_sizes);
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[2], "grow") == 0) return grow();
  if (argc > 1) return exhaust(strtoul(argv[1], NULL, 10), argc - 2, argv + 2);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(absurd_sizes_give_enomem), cmocka_unit_test(products_that_overflow_give_enomem),
      cmocka_unit_test(address_space_of_128_mib), cmocka_unit_test(address_space_of_512_mib),
      cmocka_unit_test(address_space_of_2_gib),   cmocka_unit_test(data_of_256_mib),
      cmocka_unit_test(data_of_128_mib),          cmocka_unit_test(caches_are_given_up_for_realloc),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
