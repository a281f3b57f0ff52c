/* Mapping spans onto frames: what fork leaves, and a barrier that is taken away in the midst of a batch. */
#include "arena_mesh.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "barrier.h"
#include "child.h"
#include "fork.h"
#include "heap_api.h"
#include "init.h"
#include "mesh_pass.h"
#include "options.h"
#include "os.h"
#include "pin.h"
#include "unit.h"

enum { OBJECTS = 40000, SIZE = 256, KEEP_ONE_IN = 8, FORKS = 24 };

static uint64_t *object[OBJECTS];

/* ----------------------------------------------------------------------- the kernel, with a hook */

static void (*after_alias)(void);

bool __real_os_alias(void *window, size_t size, void *addr);
bool __wrap_os_alias(void *window, size_t size, void *addr);
bool __wrap_os_alias(void *window, size_t size, void *addr) {
  bool ok = __real_os_alias(window, size, addr);
  if (after_alias != NULL) after_alias();
  return ok;
}

/* ------------------------------------------------------------------------------------------- heaps */

static void fill(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (object[i] == NULL) *(object[i] = mesh_malloc(SIZE)) = i;
}

static void thin(Rng *rng) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (rng_below(rng, KEEP_ONE_IN) == 0) continue;
    mesh_free(object[i]);
    object[i] = NULL;
  }
}

/* The same on one page in eight; the others stay full, and so where they are. */
static void thin_some_pages(Rng *rng, uint32_t round) {
  for (size_t i = 0; i < OBJECTS; i++) {
    const uint32_t mixed = (page_of(object[i]) + round * 7919) * 2654435761u;
    if (mixed >> 29 != 0 || rng_below(rng, KEEP_ONE_IN) == 0) continue;
    mesh_free(object[i]);
    object[i] = NULL;
  }
}

static bool hold(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (object[i] != NULL && *object[i] != i) return false;
  return true;
}

static size_t mesh(void) {
  mesh_trim();
  mesh_pass_all();
  MeshFigures figures;
  mesh_pass_figures(&figures);
  return figures.pages_now;
}

/* The first allocation would read the environment. */
static void choose(BarrierKind kind) {
  expect(init_once());
  options.barrier = kind;
}

static bool meshing_works(void) {
  Rng rng;
  rng_seed(&rng, 1);
  fill();
  thin(&rng);
  return mesh() > 0;
}

static void free_all(void) {
  for (size_t i = 0; i < OBJECTS; i++) {
    mesh_free(object[i]);
    object[i] = NULL;
  }
  mesh();
}

/* ------------------------------------------------------------------------------------------- tests */

/* Kernel mappings within the arena, all or those of files. */
static size_t real_mappings(bool of_files) {
  const uintptr_t end = (uintptr_t)page_address(arena.committed);
  size_t count = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  assert_non_null(maps);
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long start;
    if (sscanf(line, "%lx", &start) != 1 || start < arena.base || start >= end) continue;
    count += !of_files || strstr(line, "memfd") != NULL;
  }
  fclose(maps);
  return count;
}

/* Some of what each fork parted is left many forks later. */
static void fork_often(void *unused) {
  (void)unused;
  Rng rng;
  rng_seed(&rng, 2);
  if (!meshing_works()) return;
  for (int i = 0; i < FORKS; i++) {
    expect(fork_prepare());
    fork_parent();
    expect(hold());
    /* Anonymous memory between mappings of files is one more; see also seams in map_count.h. */
    expect(arena_mesh_maps() >= real_mappings(false));
    expect(arena_mesh_maps() <= 2 * real_mappings(false) + 64);
    fill();
    thin_some_pages(&rng, (uint32_t)i);
    mesh();
    expect(hold());
  }
  free_all();
  expect(real_mappings(true) == 0);
  expect(arena_mesh_maps() >= real_mappings(false));
}

TEST(mappings_are_counted_over_many_forks) { assert_child_passes(fork_often, NULL); }

/* Large blocks that move leave holes that are mapped anew, and in a child the kernel joins none of it. */
static void move_blocks(void *unused) {
  (void)unused;
  enum { BLOCKS = 48, STEP = MOVE_PAGES_MIN };
  char *block[BLOCKS];
  for (size_t i = 0; i < BLOCKS; i++) memset(block[i] = mesh_malloc(STEP), (int)i, STEP);
  const pid_t child = fork();
  if (child != 0) {
    int status = 1;
    expect(waitpid(child, &status, 0) == child && status == 0);
    return;
  }
  for (size_t i = 0; i < BLOCKS; i += 2) expect((block[i] = mesh_realloc(block[i], 3 * STEP)) != NULL);
  for (size_t i = 0; i < BLOCKS; i += 4) mesh_free(block[i]);
  if (!meshing_works()) _exit(0);
  expect(arena_mesh_maps() >= real_mappings(false));
  expect(arena_mesh_maps() <= real_mappings(false) + 16);
  for (size_t i = 1; i < BLOCKS; i += 2) expect(block[i][0] == (char)i && block[i][STEP - 1] == (char)i);
  _exit(0);
}

TEST(a_child_counts_mappings_that_it_made_before_it_first_meshed) { assert_child_passes(move_blocks, NULL); }

/* Stores by others go on as soon as the descriptor is closed. */
static void close_and_store(void) {
  after_alias = NULL;
  close(barrier_fd());
  for (size_t i = 0; i < OBJECTS; i++)
    if (object[i] != NULL) object[i][1] = i;
}

static void lose_barrier(void *unused) {
  (void)unused;
  choose(BARRIER_UFFD);
  if (!meshing_works()) return;
  for (int round = 0; round < 20; round++) {
    Rng rng;
    rng_seed(&rng, (uint64_t)round);
    fill();
    thin(&rng);
    for (size_t i = 0; i < OBJECTS; i++)
      if (object[i] != NULL) object[i][1] = 0;
    after_alias = close_and_store;
    mesh();
    expect(after_alias == NULL);
    for (size_t i = 0; i < OBJECTS; i++) expect(object[i] == NULL || object[i][1] == i);
  }
}

TEST(no_store_is_lost_when_the_barrier_is_closed_in_mid_batch) { assert_child_passes(lose_barrier, NULL); }

enum { LONG_SIZES = 4, LONG_OBJECTS = 12000 };

static uint64_t *long_object[LONG_SIZES][LONG_OBJECTS];

static uint64_t value(size_t s, size_t i) { return s << 32 | i; }

static void fill_long(size_t s, size_t size) {
  for (size_t i = 0; i < LONG_OBJECTS; i++) {
    if (long_object[s][i] == NULL) long_object[s][i] = mesh_malloc(size);
    long_object[s][i][0] = long_object[s][i][size / 8 - 1] = value(s, i);
  }
}

static void free_long(size_t s, size_t i) {
  mesh_free(long_object[s][i]);
  long_object[s][i] = NULL;
}

static bool long_hold(size_t s, size_t size) {
  for (size_t i = 0; i < LONG_OBJECTS; i++) {
    const uint64_t *p = long_object[s][i];
    if (p != NULL && (p[0] != value(s, i) || p[size / 8 - 1] != value(s, i))) return false;
  }
  return true;
}

/* Leaders are pinned out of their groups and freed. Their pages become spans of other lengths, while the frames that were
 * named after them live on. */
static void outlive_leaders(void *unused) {
  (void)unused;
  static const size_t sizes[LONG_SIZES] = {1536, 256, 2304, 512};
  Rng rng;
  rng_seed(&rng, 3);
  if (!meshing_works()) return;
  free_all();
  for (size_t round = 0; round < 2 * LONG_SIZES; round++) {
    const size_t s = round % LONG_SIZES;
    fill_long(s, sizes[s]);
    for (size_t i = 0; i < LONG_OBJECTS; i++)
      if (rng_below(&rng, 5) != 0) free_long(s, i);
    mesh();
    for (size_t k = 0; k < LONG_SIZES; k++) expect(long_hold(k, sizes[k]));
    for (size_t i = 0; i < LONG_OBJECTS; i++) {
      if (long_object[s][i] == NULL || rng_below(&rng, 2) != 0) continue;
      pin(long_object[s][i], sizes[s]);
      unpin(long_object[s][i], sizes[s]);
      free_long(s, i);
    }
    mesh_trim();
  }
}

TEST(a_frame_of_several_pages_is_of_one_group_alone) { assert_child_passes(outlive_leaders, NULL); }

static void mesh_without_wrappers(void *kind) {
  choose(*(BarrierKind *)kind);
  expect(!meshing_works());
  expect(hold());
}

/* As in a static library: nobody would tell of the kernel's stores. */
TEST(without_wrappers_nothing_is_meshed_where_the_kernel_does_not_wait) {
  BarrierKind kinds[] = {BARRIER_UFFD_USER, BARRIER_MPROTECT};
  for (size_t i = 0; i < COUNT(kinds); i++) assert_child_passes(mesh_without_wrappers, &kinds[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mappings_are_counted_over_many_forks),
      cmocka_unit_test(a_child_counts_mappings_that_it_made_before_it_first_meshed),
      cmocka_unit_test(no_store_is_lost_when_the_barrier_is_closed_in_mid_batch),
      cmocka_unit_test(a_frame_of_several_pages_is_of_one_group_alone),
      cmocka_unit_test(without_wrappers_nothing_is_meshed_where_the_kernel_does_not_wait),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
