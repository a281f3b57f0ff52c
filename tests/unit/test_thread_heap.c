#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "content.h"
#include "global_heap.h"
#include "heap_api.h"
#include "meta.h"
#include "options.h"
#include "os.h"
#include "stats.h"
#include "thread_local_heap.h"
#include "unit.h"

static void run_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
  pthread_join(thread, NULL);
}

static size_t live_bytes(void) {
  HeapStats s;
  stats_read(&s);
  return s.live_bytes;
}

TEST(objects_are_distinct_aligned_and_large_enough) {
  enum { OBJECTS = 3000 };
  static unsigned char *object[OBJECTS];
  static size_t size[OBJECTS];
  Rng rng;
  rng_seed(&rng, 1);
  for (size_t i = 0; i < OBJECTS; i++) {
    size[i] = rng_below(&rng, 1u << (1 + rng_below(&rng, 15)));
    object[i] = mesh_malloc(size[i]);
    assert_non_null(object[i]);
    assert_int_equal((uintptr_t)object[i] % MIN_ALIGN, 0);
    assert_true(mesh_usable_size(object[i]) >= size[i]);
    content_fill(object[i], size[i], i);
  }
  for (size_t i = 0; i < OBJECTS; i++) {
    assert_true(content_holds(object[i], size[i], i));
    mesh_free(object[i]);
  }
}

TEST(every_size_has_its_alignment) {
  for (size_t align = 1; align <= 4 * SMALL_MAX; align *= 2)
    for (size_t size = 0; size <= 3 * SMALL_MAX; size = size * 3 / 2 + 1) {
      void *a = mesh_memalign(align, size), *b = mesh_memalign(align, size);
      assert_true(a != NULL && b != NULL && a != b);
      assert_int_equal((uintptr_t)a % align, 0);
      assert_int_equal((uintptr_t)b % align, 0);
      assert_true(mesh_usable_size(a) >= size);
      memset(a, 1, size);
      memset(b, 2, size);
      mesh_free(a);
      mesh_free(b);
    }
}

TEST(the_last_freed_is_the_next_allocated) {
  for (size_t size = 1; size <= SMALL_MAX; size *= 2) {
    void *p = mesh_malloc(size);
    mesh_free(p);
    assert_ptr_equal(mesh_malloc(size), p);
    mesh_free(p);
  }
}

TEST(nothing_is_also_something) {
  void *a = mesh_malloc(0), *b = mesh_malloc(0);
  assert_true(a != NULL && b != NULL && a != b);
  mesh_free(a);
  mesh_free(b);
  mesh_free(NULL);
}

TEST(free_leaves_errno_alone) {
  enum { OBJECTS = 2000, ERRNO_BEFORE = 12345 };
  static void *object[OBJECTS];
  for (size_t i = 0; i < OBJECTS; i++) object[i] = mesh_malloc(i % 100 == 0 ? 100000 : i);
  errno = ERRNO_BEFORE;
  for (size_t i = 0; i < OBJECTS; i++) {
    mesh_free(object[i]);
    assert_int_equal(errno, ERRNO_BEFORE);
  }
}

TEST(flushing_empties_the_cache) {
  const unsigned c = size_class_of(100);
  void *object[300];
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(100);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  assert_true(thread_heaps_cached(c) > 0);
  thread_heap_flush();
  for (unsigned i = CLASS_FIRST; i < CLASS_END; i++) assert_int_equal(thread_heaps_cached(i), 0);
  thread_heap_flush();
  mesh_free(mesh_malloc(100)); /* and all goes on */
}

TEST(the_impossible_is_refused_without_a_look_for_memory) {
  const unsigned c = size_class_of(100);
  void *object[300], *large = mesh_malloc(100000);
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(100);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  const size_t cached = thread_heaps_cached(c), impossible = pages_to_bytes(arena_pages_reserved());
  assert_true(cached > 0);
  errno = 0;
  assert_null(mesh_malloc(impossible));
  assert_null(mesh_calloc(1, impossible));
  assert_null(mesh_memalign(impossible, 1));
  assert_null(mesh_memalign(64, impossible));
  assert_null(mesh_realloc(large, impossible));
  assert_int_equal(errno, ENOMEM);
  assert_int_equal(thread_heaps_cached(c), cached);
  mesh_free(large);
}

TEST(caches_are_bounded_in_slots_and_bytes) {
  enum { OBJECTS = 4000 };
  static void *object[OBJECTS];
  for (unsigned c = CLASS_FIRST; c < CLASS_PINNED_FIRST; c++) {
    const SizeClass *sc = &size_classes[c];
    for (size_t i = 0; i < OBJECTS; i++) object[i] = mesh_malloc(sc->size);
    for (size_t i = 0; i < OBJECTS; i++) mesh_free(object[i]);
    size_t cached = thread_heaps_cached(c);
    assert_true(cached <= 2 * (size_t)sc->capacity);
    assert_true(cached * sc->size <= 4 * MAGAZINE_BYTES + 4 * (size_t)sc->size);
    thread_heap_flush();
    depot_drain_all();
  }
}

/* Freed at random, the last objects of a class, all cached, lie in most of its spans. */
TEST(caches_pin_no_spans_while_the_heap_grows) {
  enum { OBJECTS = 50000, SIZE = 32, OTHERS = 12000, OTHER_SIZE = 512 };
  static void *object[OBJECTS];
  const ClassHeap *h = &class_heaps[size_class_of(SIZE)];
  Rng rng;
  rng_seed(&rng, 1);
  for (size_t i = 0; i < OBJECTS; i++) {
    const size_t j = rng_below(&rng, (uint32_t)i + 1);
    object[i] = object[j];
    object[j] = mesh_malloc(SIZE);
  }
  for (size_t i = 0; i < OBJECTS; i++) mesh_free(object[i]);
  assert_true(h->spans > h->spans_peak / 2);
  for (size_t i = 0; i < OTHERS; i++) object[i] = mesh_malloc(OTHER_SIZE);
  assert_true(h->spans < 10);
  for (size_t i = 0; i < OTHERS; i++) mesh_free(object[i]);
}

/* ------------------------------------------------------------------------------------------ threads */

static void *use_all_classes(void *unused) {
  for (size_t size = 1; size <= SMALL_MAX; size = size * 5 / 4 + 1) {
    void *object[50];
    for (size_t i = 0; i < COUNT(object); i++) memset(object[i] = mesh_malloc(size), (int)i, size);
    for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  }
  return unused;
}

TEST(threads_leave_nothing_behind) {
  run_thread(use_all_classes, NULL);
  size_t live = live_bytes(), metadata = meta_resident();
  for (int i = 0; i < 50; i++) run_thread(use_all_classes, NULL);
  assert_int_equal(live_bytes(), live);
  assert_int_equal(meta_resident(), metadata);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) assert_int_equal(thread_heaps_cached(c), 0);
  arena_assert_state();
}

static void *free_all(void *object) {
  for (void **p = object; *p != NULL; p++) mesh_free(*p);
  return NULL;
}

TEST(a_thread_may_free_what_another_allocated) {
  void *object[2001] = {NULL};
  size_t live = live_bytes();
  for (int round = 0; round < 5; round++) {
    for (size_t i = 0; i + 1 < COUNT(object); i++) object[i] = mesh_malloc(1 + i * 7 % 3000);
    run_thread(free_all, object);
  }
  assert_int_equal(live_bytes(), live);
  arena_assert_state();
}

typedef struct Chain {
  pthread_barrier_t start;
  void *_Atomic passed[64];
} Chain;

/* Each takes the object that stands at a random place, checks it, and puts another there. */
static void *exchange_objects(void *argument) {
  static _Atomic uint64_t seeds;
  Chain *chain = argument;
  Rng rng;
  rng_seed(&rng, atomic_fetch_add(&seeds, 1));
  pthread_barrier_wait(&chain->start);
  for (int i = 0; i < 10000; i++) {
    size_t size = 16 + rng_below(&rng, 1u << rng_below(&rng, 13)), place = rng_below(&rng, 64);
    size_t *object = mesh_malloc(size);
    object[0] = size;
    content_fill((char *)object + 8, size - 8, size);
    size_t *other = atomic_exchange(&chain->passed[place], object);
    if (other == NULL) continue;
    check_always(content_holds((char *)other + 8, other[0] - 8, other[0]));
    mesh_free(other);
  }
  return NULL;
}

TEST(threads_exchange_objects) {
  static Chain chain;
  pthread_t thread[3];
  size_t live = live_bytes();
  pthread_barrier_init(&chain.start, NULL, COUNT(thread));
  for (size_t i = 0; i < COUNT(thread); i++) pthread_create(&thread[i], NULL, exchange_objects, &chain);
  for (size_t i = 0; i < COUNT(thread); i++) pthread_join(thread[i], NULL);
  for (size_t i = 0; i < COUNT(chain.passed); i++) mesh_free(chain.passed[i]);
  pthread_barrier_destroy(&chain.start);
  thread_heap_flush();
  assert_int_equal(live_bytes(), live);
  arena_assert_state();
}

/* Large blocks share the arena's counts. */
static void *resize_blocks(void *unused) {
  for (int i = 0; i < 200; i++) {
    void *p = mesh_malloc(300000), *obstacle = mesh_malloc(50000);
    memset(p, i, 300000);
    p = mesh_realloc(p, 600000);
    check_always(((unsigned char *)p)[299999] == (unsigned char)i);
    p = mesh_realloc(p, 200000);
    mesh_free(obstacle);
    mesh_free(p);
  }
  return unused;
}

TEST(threads_resize_blocks) {
  pthread_t thread[3];
  for (size_t i = 0; i < COUNT(thread); i++) pthread_create(&thread[i], NULL, resize_blocks, NULL);
  for (size_t i = 0; i < COUNT(thread); i++) pthread_join(thread[i], NULL);
  arena_assert_state();
}

/* What others have beside what is freed must not come to lie beside what is allocated next. */
enum { GIFT_SIZE = 48, GIFT_OBJECTS = 20 };

struct Gifted {
  sem_t *done, *end;
  void *gift, *object[GIFT_OBJECTS];
};

static void *free_gift_and_allocate(void *argument) {
  struct Gifted *g = argument;
  mesh_free(g->gift);
  for (size_t i = 0; i < GIFT_OBJECTS; i++) g->object[i] = mesh_malloc(GIFT_SIZE);
  sem_post(g->done);
  sem_wait(g->end);
  return NULL;
}

static bool share_a_line(const char *a, const char *b) {
  return (uintptr_t)a / CACHE_LINE <= (uintptr_t)(b + GIFT_SIZE - 1) / CACHE_LINE &&
         (uintptr_t)b / CACHE_LINE <= (uintptr_t)(a + GIFT_SIZE - 1) / CACHE_LINE;
}

static void work_side_by_side(void *unused) {
  (void)unused;
  pthread_t thread[2];
  sem_t done, end;
  struct Gifted gifted[2] = {{&done, &end, mesh_malloc(GIFT_SIZE), {NULL}}, {&done, &end, NULL, {NULL}}};
  sem_init(&done, 0, 0);
  sem_init(&end, 0, 0);
  do gifted[1].gift = mesh_malloc(GIFT_SIZE);
  while (!share_a_line(gifted[0].gift, gifted[1].gift));
  for (size_t t = 0; t < 2; t++) { /* one after the other, but both are there to the end */
    expect(pthread_create(&thread[t], NULL, free_gift_and_allocate, &gifted[t]) == 0);
    sem_wait(&done);
  }
  for (size_t t = 0; t < 2; t++) sem_post(&end);
  for (size_t t = 0; t < 2; t++) pthread_join(thread[t], NULL);
  for (size_t i = 0; i < GIFT_OBJECTS; i++)
    for (size_t k = 0; k < GIFT_OBJECTS; k++)
      expect(!share_a_line(gifted[0].object[i], gifted[1].object[k]));
}

TEST(threads_of_a_small_program_share_no_cache_lines) { assert_child_passes(work_side_by_side, NULL); }

/* A destructor that runs after the heap's own, to the last: a program's may. */
static pthread_key_t late_key;

static void allocate_late(void *again) {
  void *object[200];
  for (size_t i = 0; i < COUNT(object); i++) object[i] = mesh_malloc(1 + i * 50);
  for (size_t i = 0; i < COUNT(object); i++) mesh_free(object[i]);
  pthread_setspecific(late_key, again); /* as often as the C library allows */
}

static void *end_late(void *unused) {
  mesh_free(mesh_malloc(100));
  pthread_setspecific(late_key, (void *)1);
  return unused;
}

TEST(destructors_that_run_later_leave_nothing_behind) {
  pthread_key_create(&late_key, allocate_late);
  run_thread(end_late, NULL);
  size_t live = live_bytes(), metadata = meta_resident();
  for (int i = 0; i < 50; i++) run_thread(end_late, NULL);
  assert_int_equal(live_bytes(), live);
  assert_int_equal(meta_resident(), metadata);
  pthread_key_delete(late_key);
}

/* ------------------------------------------------------------------------------------------- misuse */

static void free_twice_and_flush(void *p) {
  mesh_free(p);
  mesh_free(p);
  thread_heap_flush();
}

static void free_and_flush(void *p) {
  mesh_free(p);
  thread_heap_flush();
}

TEST(misuse_is_seen_when_the_cache_drains) {
  char *p = mesh_malloc(100);
  assert_child_aborts(free_twice_and_flush, p, "double free of", p);
  assert_child_aborts(free_and_flush, p + 8, "invalid free of", p + 8);
  mesh_free(p);
}

static void *free_twice(void *p) {
  mesh_free(p);
  mesh_free(p);
  return NULL;
}

static void free_twice_hardened(void *p) {
  pthread_t thread;
  options.hardened = true; /* of threads that start from now on */
  pthread_create(&thread, NULL, free_twice, p);
  pthread_join(thread, NULL);
}

TEST(hardened_mode_sees_it_at_once) {
  void *p = mesh_malloc(100), *neighbour = mesh_malloc(100);
  assert_child_aborts(free_twice_hardened, p, "double free of", p);
  mesh_free(p);
  mesh_free(neighbour);
}

/* Churn of one class, without a call that sleeps. */
static void *churn(void *unused) {
  for (int i = 0; i < 10000; i++) mesh_free(mesh_malloc(48));
  return unused;
}

/* Ticks come of the calls of threads without caches too. */
static void purge_hardened(void *unused) {
  (void)unused;
  options.hardened = true;
  mesh_free(mesh_malloc(16 * MIB));
  HeapStats s;
  stats_read(&s);
  if (s.dirty_bytes < 16 * MIB) _exit(1);
  for (int i = 0; i < 1000 && s.dirty_bytes >= 16 * MIB; i++) {
    os_sleep_ms(10);
    run_thread(churn, NULL);
    stats_read(&s);
  }
  _exit(s.dirty_bytes >= 16 * MIB);
}

TEST(hardened_mode_purges) { assert_child_passes(purge_hardened, NULL); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(objects_are_distinct_aligned_and_large_enough),
      cmocka_unit_test(every_size_has_its_alignment),
      cmocka_unit_test(the_last_freed_is_the_next_allocated),
      cmocka_unit_test(nothing_is_also_something),
      cmocka_unit_test(free_leaves_errno_alone),
      cmocka_unit_test(flushing_empties_the_cache),
      cmocka_unit_test(the_impossible_is_refused_without_a_look_for_memory),
      cmocka_unit_test(caches_are_bounded_in_slots_and_bytes),
      cmocka_unit_test(threads_leave_nothing_behind),
      cmocka_unit_test(a_thread_may_free_what_another_allocated),
      cmocka_unit_test(threads_exchange_objects),
      cmocka_unit_test(threads_resize_blocks),
      cmocka_unit_test(threads_of_a_small_program_share_no_cache_lines),
      cmocka_unit_test(destructors_that_run_later_leave_nothing_behind),
      cmocka_unit_test(misuse_is_seen_when_the_cache_drains),
      cmocka_unit_test(hardened_mode_sees_it_at_once),
      cmocka_unit_test(hardened_mode_purges),
      cmocka_unit_test(caches_pin_no_spans_while_the_heap_grows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
