/* Each system call that meshing makes fails in turn, once and from then on, under each barrier: no byte of a
 * live object may be lost, no page stay protected, and what is counted must be what is there. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "child.h"
#include "content.h"
#include "fake_kernel.h"
#include "heap_api.h"
#include "mesh_group.h"
#include "mesh_pass.h"
#include "options.h"
#include "pin.h"
#include "unit.h"

/* As where the shared library wraps the calls: this program makes none that store into the heap. */
const bool hazard_calls_wrapped = true;

/* A child's exit codes. */
enum {
  NOTHING_FAILED = 99, /* the script asks for a later call than there are */
  NO_BARRIER = 77,     /* it cannot be had here */
};

typedef struct Script {
  const char *barrier;
  FakeKernel kernel;
} Script;

/* ------------------------------------------------------------------------------- the heap's content */

enum { OBJECTS = 2400 };

static struct Object {
  void *address; /* NULL if there is none */
  size_t size;   /* bytes */
  uint64_t key;
} objects[OBJECTS];

static Rng rng;

static void fill(struct Object *o) { content_fill(o->address, o->size, o->key); }

/* One page and three pages to a span. */
static size_t size_of_object(size_t i) { return i < OBJECTS * 3 / 5 ? 256 : 640; }

static void allocate(size_t i) {
  struct Object *o = &objects[i];
  if (o->address != NULL) return;
  *o = (struct Object){.address = mesh_malloc(size_of_object(i)), .size = size_of_object(i), .key = o->key + OBJECTS};
  expect(o->address != NULL || fake_kernel.failed > 0);
  if (o->address != NULL) fill(o);
}

static void release(size_t i) {
  mesh_free(objects[i].address);
  objects[i].address = NULL;
}

static void allocate_all(void) {
  for (size_t i = 0; i < OBJECTS; i++) allocate(i);
}

/* Leaves one in `keep`. */
static void thin(uint32_t keep) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (rng_below(&rng, keep) != 0) release(i);
  mesh_trim();
}

static void free_all(void) {
  for (size_t i = 0; i < OBJECTS; i++) release(i);
  mesh_trim();
}

/* ------------------------------------------------------------------------------------ what must hold */

static void check_content(void) {
  for (size_t i = 0; i < OBJECTS; i++) {
    const struct Object *o = &objects[i];
    expect(o->address == NULL || content_holds(o->address, o->size, o->key));
  }
}

static void *store_to_all(void *unused) {
  for (size_t i = 0; i < OBJECTS; i++) {
    if (objects[i].address == NULL) continue;
    objects[i].key += OBJECTS;
    fill(&objects[i]);
  }
  return unused;
}

/* A page that is still protected would keep the thread waiting, until the child's alarm, or end the process. */
static void check_stores(void) {
  pthread_t thread;
  expect(pthread_create(&thread, NULL, store_to_all, NULL) == 0);
  expect(pthread_join(thread, NULL) == 0);
  check_content();
}

static size_t check_group(uint32_t leader) {
  MiniHeap *first = miniheap_of(leader);
  const SizeClass *sc = miniheap_class(first);
  const uint64_t *of_group = miniheap_bitmap(first, sc);
  uint64_t taken[64] = {0};
  size_t members = 0;
  expect(bitmap_count(of_group, sc->slots) == first->live);
  for (uint32_t p = first->group_next; p != leader; p = miniheap_of(p)->group_next, members++) {
    MiniHeap *mh = miniheap_of(p);
    const uint64_t *own = miniheap_bitmap(mh, sc);
    expect(mh->leader == leader && mh->frame == first->frame && frame_is_current(mh->frame));
    expect(bitmap_count(own, sc->slots) == mh->live);
    for (size_t w = 0; w < bitmap_words(sc->slots); w++) {
      expect((own[w] & taken[w]) == 0);
      expect((own[w] & ~of_group[w]) == 0);
      taken[w] |= own[w];
    }
  }
  mesh_group_assert_state(leader);
  return members;
}

static void check_groups(void) {
  size_t members[CLASS_END] = {0}, pages = 0;
  for (uint32_t page = 1; page < arena.frontier; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END || miniheap_of(page)->offset != 0) continue;
    expect(is_leader(miniheap_of(page)->leader));
    if (is_leader(page)) members[c] += check_group(page);
  }
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    expect(class_heaps[c].members == members[c]);
    pages += members[c] * size_classes[c].span_pages;
  }
  expect(mesh_pages_released == pages);
}

/* Every object is live, at its own address. */
static void check_bits(void) {
  for (size_t i = 0; i < OBJECTS; i++) {
    const char *p = objects[i].address;
    if (p == NULL) continue;
    uint32_t page = page_of(p) - miniheap_of(page_of(p))->offset;
    MiniHeap *mh = miniheap_of(page);
    const SizeClass *sc = miniheap_class(mh);
    uint32_t slot = slot_index(sc, (size_t)(p - page_address(page)));
    expect(is_leader(page) ? mesh_group_leader_owns(page, slot) : bitmap_get(miniheap_bitmap(mh, sc), slot));
  }
}

/* The kernel's mappings in the pages of the arena that are in use. */
static size_t count_maps(void) {
  const uintptr_t end = (uintptr_t)page_address(arena.committed);
  char line[512];
  size_t n = 0;
  FILE *file = fopen("/proc/self/maps", "r");
  expect(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx", &from, &to) != 2 || to <= arena.base || from >= end) continue;
    n++;
  }
  fclose(file);
  return n;
}

/* Never fewer than there are; and not many more, where nothing is lost. */
static void check_maps(void) {
  size_t counted = arena_mesh_maps(), real = count_maps();
  expect(counted >= real);
  expect(fake_kernel.failed > 0 || counted <= real + real / 4 + 64);
}

static void check_all(void) {
  check_content();
  check_stores();
  check_groups();
  check_bits();
  check_maps();
  arena_assert_state();
}

/* --------------------------------------------------------------------------------------------- a case */

static void pass(void) {
  mesh_pass_all();
  mesh_trim();
  check_all();
}

/* Spans leave their groups, and are pinned while they are live. */
static void pin_some(void) {
  for (size_t i = 0; i < OBJECTS; i += 16)
    if (objects[i].address != NULL) pin(objects[i].address, objects[i].size);
  check_all();
  for (size_t i = 0; i < OBJECTS; i += 32)
    if (objects[i].address != NULL) unpin(objects[i].address, objects[i].size);
}

static void live(void) {
  thin(3);
  pass();
  allocate_all();
  check_all();
  thin(5);
  pass();
}

static void fork_and_live(void) {
  int status = 0;
  for (int i = 0; i < 20; i++) mesh_pass_work(1); /* somewhere in a pass */
  pid_t child = fork();
  expect(child >= 0);
  check_all();
  if (child == 0) {
    alarm(20);
    live();
    _exit(0);
  }
  live();
  expect(waitpid(child, &status, 0) == child && status == 0);
}

static void start(const char *barrier) {
  setenv("MESH_BARRIER", barrier, 1);
  setenv("MESH_PERIOD_MS", "1", 1);
  setenv("MESH_SEED", "1", 1);
  rng_seed(&rng, 1);
  for (size_t i = 0; i < OBJECTS; i++) objects[i].key = i;
  allocate_all();
  thin(5);
}

static void run_case(void *script) {
  const Script *s = script;
  start(s->barrier);
  if (!barrier_choose()) _exit(NO_BARRIER);
  fake_kernel = s->kernel;
  pass();
  thin(2);
  pass();
  allocate_all();
  check_all();
  pin_some();
  thin(4);
  pass();
  fork_and_live();
  pass();
  const unsigned failed = fake_kernel.failed;

  fake_kernel.first_fail = 0;
  fake_kernel.ahead_ms = 60000; /* what failed is tried again only after a while */
  free_all();
  check_all();
  allocate_all();
  thin(5);
  pass();
  expect(mesh_pages_released > 0);
  free_all();
  check_all();
  expect(mesh_pages_released == 0);
  if (failed == 0) _exit(NOTHING_FAILED);
}

/* ------------------------------------------------------------------------------------------- all cases */

/* Fails the n-th call, or all calls from the n-th on, or the n-th halfway, or the n-th and the next that would do
 * instead, for n = 1 and so on. */
typedef enum Duration { ONCE, TO_THE_END, HALFWAY, WITH_THE_NEXT } Duration;
static const char *const duration_names[] = {"once", "and all after it", "halfway", "with the next"};

/* Each of the first, and then ever fewer. */
static unsigned next_call(unsigned n) { return n < 4 ? n + 1 : n * 3; }

static void fail_in_turn(const char *barrier, KernelCall call, Duration duration) {
  for (unsigned n = 1;; n = next_call(n)) {
    Script script = {.barrier = barrier,
                     .kernel = {.failing = call,
                                .first_fail = n,
                                .last_fail = duration == TO_THE_END ? UINT32_MAX : n,
                                .halfway = duration == HALFWAY,
                                .then_replace = duration == WITH_THE_NEXT}};
    Child child = child_run(run_case, &script);
    if (child.exit_code == NOTHING_FAILED) return;
    if (child.exit_code != 0)
      fail_msg("%s, call %u, %s: exit code %d, signal %d: %s", kernel_call_names[call], n,
               duration_names[duration], child.exit_code, child.signal, child.text);
  }
}

static bool changes_range(KernelCall call) {
  return call == PROTECT_CALL || call == MAKE_WRITABLE_CALL || call == UFFD_REGISTER_CALL ||
         call == UFFD_PROTECT_CALL || call == UFFD_UNREGISTER_CALL;
}

static void fail_all(const char *barrier) {
  Script nothing = {.barrier = barrier, .kernel = {.first_fail = UINT32_MAX}};
  Child child = child_run(run_case, &nothing);
  if (child.exit_code == NO_BARRIER) {
    printf("skipped: no barrier %s here\n", barrier);
    exit(NO_BARRIER);
  }
  if (child.exit_code != NOTHING_FAILED)
    fail_msg("exit code %d, signal %d: %s", child.exit_code, child.signal, child.text);
  for (KernelCall call = NO_CALL + 1; call < KERNEL_CALLS; call++) {
    fail_in_turn(barrier, call, ONCE);
    /* What is protected must become writable some day. */
    if (call != MAKE_WRITABLE_CALL) fail_in_turn(barrier, call, TO_THE_END);
    if (changes_range(call)) fail_in_turn(barrier, call, HALFWAY);
  }
  fail_in_turn(barrier, MAP_FILE_CALL, WITH_THE_NEXT);
}

/* ------------------------------------------------------------------------------------ shared futexes */

static void *wait_for_change(void *word) {
  const struct timespec limit = {10, 0};
  while (__atomic_load_n((uint32_t *)word, __ATOMIC_ACQUIRE) == 0)
    expect(syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, NULL, 0) == 0 || errno == EAGAIN || errno == EINTR);
  return NULL;
}

static struct Object *object_on_frame(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    if (objects[i].address != NULL && frame_is_current(miniheap_of(page_of(objects[i].address))->frame))
      return &objects[i];
  return NULL;
}

/* In a page of the file's that a pin could not take out. */
static struct Object *pin_and_keep(const char *barrier) {
  start(barrier);
  if (!barrier_choose()) _exit(0);
  pass();
  struct Object *o = object_on_frame();
  expect(o != NULL);
  fake_kernel = (FakeKernel){.failing = REPLACE_CALL, .first_fail = 1, .last_fail = UINT32_MAX};
  pin_for_good(o->address, o->size);
  fake_kernel = (FakeKernel){.first_fail = 0};
  expect(frame_is_current(miniheap_of(page_of(o->address))->frame));
  return o;
}

/* A thread waits in the object until `change` is over; then its wake must find it. */
static void wait_during(struct Object *o, void (*change)(struct Object *o)) {
  pthread_t waiter;
  uint32_t *word = o->address;
  *word = 0;
  expect(pthread_create(&waiter, NULL, wait_for_change, word) == 0);
  usleep(50000); /* in which it falls asleep */
  change(o);
  __atomic_store_n(word, 1, __ATOMIC_RELEASE);
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
  expect(pthread_join(waiter, NULL) == 0);
}

/* It parts the page from the file's, by which the kernel knows who waits there. */
static void change_by_fork(struct Object *o) {
  int status = 1;
  pid_t child = fork();
  if (child == 0) _exit(0);
  expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  expect(!frame_is_current(miniheap_of(page_of(o->address))->frame));
}

/* Which must not do what the first could not. */
static void change_by_pin(struct Object *o) {
  expect(!pin(o->address, o->size));
  unpin(o->address, o->size);
  unpin(o->address, o->size); /* as munlock of what was not locked */
  const uint32_t page = page_of(o->address);
  expect(pin_holds(page - miniheap_of(page)->offset));
  mesh_pass_all();
}

static void wake_after_fork(void *barrier) { wait_during(pin_and_keep(barrier), change_by_fork); }
static void wake_after_pin(void *barrier) { wait_during(pin_and_keep(barrier), change_by_pin); }

static const char *barrier;

TEST(a_wake_finds_who_waits_in_a_page_that_a_pin_could_not_take_out) {
  char copy[32];
  snprintf(copy, sizeof copy, "%s", barrier);
  assert_child_passes(wake_after_fork, copy);
  assert_child_passes(wake_after_pin, copy);
}

TEST(each_call_fails) { fail_all(barrier); }

/* test_mesh_failures BARRIER */
int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_wake_finds_who_waits_in_a_page_that_a_pin_could_not_take_out),
      cmocka_unit_test(each_call_fails),
  };
  barrier = argc > 1 ? argv[1] : "mprotect";
  return cmocka_run_group_tests(tests, NULL, NULL);
}
