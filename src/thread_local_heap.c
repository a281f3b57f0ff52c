#include "thread_local_heap.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "global_heap.h"
#include "init.h"
#include "large.h"
#include "mesh_pass.h"
#include "meta.h"
#include "options.h"
#include "os.h"

enum {
  REFILL_FIRST = 8,      /* slots a class first asks for */
  SHRINK_MS = 200,       /* vectors unused for this long are drained */
  SLOW_CALLS_A_LOOK = 16, /* slow paths between looks at the clock */
};

/* What a thread starts on; the first slow path puts a heap of its own in its place. Among the initialised data, of
 * which every program writes: read first in pages of zeroes, it would cost a page fault more. */
__attribute__((section(".data"))) static ThreadLocalHeap empty_heap = {.direct = false};
/* What a thread ends on: calls from destructors that run after ours leave nothing behind. Also the heap
 * of every thread in hardened mode. Its vectors are never filled, so threads can share it. */
static ThreadLocalHeap direct_heap = {.direct = true};

_Thread_local ThreadLocalHeap *thread_heap = &empty_heap;

static struct {
  Lock lock;
  ThreadLocalHeap *first; /* (lock) */
  pthread_key_t key;      /* (C) its destructor drains the heap of an exiting thread */
  bool has_key;           /* (lock) */
  _Atomic uint32_t born;  /* (~) heaps since the start */
} heaps = {.lock = LOCK_INIT(RANK_HEAPS)};

Lock *thread_heaps_lock(void) { return &heaps.lock; }

/* ------------------------------------------------------------------------------- birth and death */

static void registry_add(ThreadLocalHeap *heap) {
  lock_acquire(&heaps.lock);
  heap->prev = NULL;
  heap->next = heaps.first;
  if (heap->next != NULL) heap->next->prev = heap;
  heaps.first = heap;
  lock_release(&heaps.lock);
}

static void registry_remove(ThreadLocalHeap *heap) {
  lock_acquire(&heaps.lock);
  if (heap->next != NULL) heap->next->prev = heap->prev;
  if (heap->prev != NULL) heap->prev->next = heap->next;
  else heaps.first = heap->next;
  lock_release(&heaps.lock);
}

static void drain_magazine(unsigned c, Magazine *m) {
  if (m == NULL) return;
  if (m->count > 0) global_heap_drain(c, m->slots, m->count);
  magazine_delete(m);
}

static void drain_vector(ThreadLocalHeap *heap, unsigned c) {
  ShuffleVector *v = &heap->vector[c];
  Magazine *previous = v->previous;
  v->previous = NULL;
  store_relaxed(&heap->behind[c], 0);
  drain_magazine(c, shuffle_vector_unload(v));
  drain_magazine(c, previous);
  heap->refill[c] = REFILL_FIRST;
}

static void heap_exit(void *arg) {
  ThreadLocalHeap *heap = arg;
  thread_heap = &direct_heap;
  /* Out of the registry first: whoever sums the caches must not read a vector that is being freed. */
  registry_remove(heap);
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) drain_vector(heap, c);
  meta_free(heap, sizeof *heap);
}

void thread_heaps_make_key(void) {
  lock_acquire(&heaps.lock);
  if (!heaps.has_key) heaps.has_key = pthread_key_create(&heaps.key, heap_exit) == 0;
  lock_release(&heaps.lock);
}

/* A thread's first allocation may be libc's, of a table for the values of keys of 32 and more, and ours may be one of
 * them: the value that heap_new gave it then went into a table of its own, in whose place libc puts the first. */
static void renew_key(ThreadLocalHeap *heap) {
  heap->key_look = 2 * heap->slow_calls;
  if (heaps.has_key && pthread_getspecific(heaps.key) != heap) pthread_setspecific(heaps.key, heap);
}

static ThreadLocalHeap *heap_new(void) {
  if (!init_once()) return NULL;
  if (options.hardened) return &direct_heap;
  ThreadLocalHeap *heap = meta_alloc(sizeof *heap);
  if (heap == NULL) return &direct_heap;
  thread_heaps_make_key();
  memset(heap, 0, sizeof *heap);
  rng_seed(&heap->rng, options.seed != 0 ? options.seed : os_random());
  for (unsigned c = 0; c < CLASS_MAP_VALUES; c++) heap->refill[c] = REFILL_FIRST;
  thread_shard = add_relaxed(&heaps.born, 1) % THREAD_SHARDS;
  registry_add(heap);
  thread_heap = heap;
  /* May call calloc, which finds the heap in place. A thread whose destructor cannot be had keeps its
   * heap until the process ends. */
  if (heaps.has_key) pthread_setspecific(heaps.key, heap);
  return heap;
}

static ThreadLocalHeap *own_heap(void) {
  ThreadLocalHeap *heap = thread_heap;
  if (heap == &empty_heap) {
    heap = heap_new();
    if (heap != NULL) thread_heap = heap;
  }
  return heap;
}

/* ------------------------------------------------------------------------------------ slow paths */

/* Drains what went unused since the last look; false if nothing is left. A class is unused if no slow path ran for it
 * and its top stands where it stood: a guess that costs one refill when it is wrong. */
static bool shrink_unused(ThreadLocalHeap *heap) {
  bool left = false;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    ShuffleVector *v = &heap->vector[c];
    void **top = load_relaxed(&v->top);
    if (!heap->used[c] && top == heap->seen[c] && top != NULL) drain_vector(heap, c);
    heap->used[c] = false;
    heap->seen[c] = load_relaxed(&v->top);
    left |= heap->seen[c] != NULL;
  }
  return left;
}

uint32_t thread_heap_shrink(uint64_t now_ms) {
  ThreadLocalHeap *heap = thread_heap;
  if (heap == &empty_heap || heap->direct) return UINT32_MAX;
  const uint64_t since = now_ms - heap->last_shrink;
  if (since < SHRINK_MS) return (uint32_t)(SHRINK_MS - since);
  heap->last_shrink = now_ms;
  return shrink_unused(heap) ? SHRINK_MS : UINT32_MAX;
}

/* Slots of a class, at most, that its vector and the depot hold. */
static size_t cached_for(const ThreadLocalHeap *heap, unsigned c) {
  const size_t own = shuffle_vector_count(&heap->vector[c]) + load_relaxed(&heap->behind[c]);
  return own == 0 ? 0 : own + depot_cached_at_most(c);
}

/* Slots that a program has done with for now, cached, pin spans all over the heap, and the free pages between these are no
 * runs for what it does next: the heap would grow. Draining them costs less than the page faults. */
static void drain_pinned(ThreadLocalHeap *heap, unsigned busy) {
  const size_t used = arena_used_bytes();
  if (used < heap->pinned_look) heap->pinned_look = used;
  if (used - heap->pinned_look < PINNED_LOOK || heap->slow_calls == heap->pinned_calls) return;
  const uint64_t begin = os_now_ns();
  uint64_t now = begin;
  for (unsigned c = CLASS_FIRST; c < CLASS_END && now - begin < PINNED_NS; c++) {
    const size_t cached = c == busy ? 0 : cached_for(heap, c);
    if (cached == 0 || !global_heap_is_pinned(c, cached)) continue;
    bool more = true;
    for (; more && now - begin < PINNED_NS; now = os_now_ns()) more = depot_drain_some(c, 1);
    if (more) break;
    drain_vector(heap, c); /* last: a class of which the thread has nothing is not looked at */
    now = os_now_ns();
  }
  heap->pinned_look = used;
  heap->pinned_calls = heap->slow_calls;
}

bool thread_heap_changed(void) {
  const ThreadLocalHeap *heap = thread_heap;
  return heap->direct || heap->slow_calls != heap->calls_at_look;
}

void thread_heap_note_look(void) {
  ThreadLocalHeap *heap = thread_heap;
  if (heap != &empty_heap && !heap->direct) heap->calls_at_look = heap->slow_calls;
}

/* True in one of so many slow paths. */
static bool is_time_to_look(ThreadLocalHeap *heap) {
  static _Atomic uint32_t direct_calls; /* (~) of the threads that share direct_heap */
  const uint32_t calls = heap->direct ? add_relaxed(&direct_calls, 1) : heap->slow_calls++;
  return (calls + 1) % SLOW_CALLS_A_LOOK == 0;
}

static void housekeeping(ThreadLocalHeap *heap) {
  if (!is_time_to_look(heap)) return;
  uint64_t now_ms = os_now_ms();
  if (global_heap_tick(now_ms)) return; /* one piece of one thing in a call of the program's */
  mesh_pass_tick(now_ms);
  thread_heap_shrink(now_ms);
}

/* Of a thread's first magazine of a class: few slots where they are large. */
static uint32_t first_capacity(unsigned c) {
  return (uint32_t)max_size(2, min_size(MAGAZINE_MIN, MAGAZINE_FREE_BYTES / size_classes[c].size));
}

/* A larger magazine with the loaded one's slots; false if it has full size or there is no memory. */
static bool grow_magazine(ShuffleVector *v, unsigned c) {
  const uint32_t full_size = size_classes[c].capacity;
  Magazine *old = shuffle_vector_magazine(v);
  uint32_t capacity = first_capacity(c);
  if (old != NULL) {
    if (old->capacity >= full_size) return false;
    capacity = (uint32_t)magazine_next_capacity(old->capacity);
  }
  Magazine *m = magazine_new(capacity < full_size ? capacity : full_size);
  if (m == NULL) return false;
  old = shuffle_vector_unload(v);
  if (old != NULL) {
    m->count = old->count;
    for (uint32_t i = 0; i < old->count; i++) m->slots[i] = old->slots[i];
    magazine_delete(old);
  }
  shuffle_vector_load(v, m);
  return true;
}

static void swap_previous(ThreadLocalHeap *heap, unsigned c) {
  ShuffleVector *v = &heap->vector[c];
  Magazine *m = v->previous;
  v->previous = shuffle_vector_unload(v);
  store_relaxed(&heap->behind[c], (uint16_t)v->previous->count);
  shuffle_vector_load(v, m);
}

static void refill(ThreadLocalHeap *heap, unsigned c) {
  ShuffleVector *v = &heap->vector[c];
  const uint32_t full_size = size_classes[c].capacity;
  Magazine *m = shuffle_vector_magazine(v);
  if (m != NULL && m->capacity == full_size) {
    Magazine *full = depot_take(c, m);
    if (full != NULL) {
      shuffle_vector_load(v, full);
      return;
    }
  }
  drain_pinned(heap, c);
  size_t want = min_size(heap->refill[c], full_size);
  if ((m == NULL || m->capacity < want) && !grow_magazine(v, c) && m == NULL) return;
  m = shuffle_vector_magazine(v);
  size_t n = global_heap_refill(c, m->slots, min_size(want, m->capacity), m->capacity, &heap->rng);
  store_relaxed(&v->top, m->slots + n);
  heap->refill[c] = (uint16_t)min_size(want * 2, full_size);
}

/* Before memory is refused: cached slots of other classes may be all that keeps pages from being free. */
static void give_up_caches(void) {
  int saved = errno;
  thread_heap_flush();
  depot_drain_all();
  errno = saved;
}

static void *malloc_direct(unsigned c) {
  static _Atomic uint32_t serial;
  Rng rng;
  rng_seed(&rng, add_relaxed(&serial, 1) ^ (options.seed != 0 ? options.seed : (uint64_t)os_now_ns()));
  void *p = NULL;
  if (init_once()) {
    if (global_heap_refill(c, &p, 1, 1, &rng) == 1) return p;
    give_up_caches();
    if (global_heap_refill(c, &p, 1, 1, &rng) == 1) return p;
  }
  errno = ENOMEM;
  return NULL;
}

void *thread_heap_malloc_class(unsigned c) {
  ThreadLocalHeap *heap = own_heap();
  if (heap == NULL) return malloc_direct(c);
  if (heap->direct) {
    housekeeping(heap);
    return malloc_direct(c);
  }
  ShuffleVector *v = &heap->vector[c];
  void *p = shuffle_vector_pop(v);
  if (p != NULL) return p;
  heap->used[c] = true;
  housekeeping(heap);
  if (v->previous != NULL && v->previous->count > 0)
    swap_previous(heap, c);
  else
    refill(heap, c);
  p = shuffle_vector_pop(v);
  if (heap->slow_calls >= heap->key_look) renew_key(heap); /* may call calloc, which finds all as it should be */
  return p != NULL ? p : malloc_direct(c);
}

void *thread_heap_malloc_slow(size_t size) {
  if (!init_once()) {
    errno = ENOMEM;
    return NULL;
  }
  if (size <= SMALL_MAX) return thread_heap_malloc_class(size_class_of(size));
  return thread_heap_malloc_large(size, 1, NULL);
}

static void drain_pinned_before_large(void) {
  ThreadLocalHeap *heap = thread_heap;
  if (heap != &empty_heap && !heap->direct) drain_pinned(heap, CLASS_NONE);
}

void *thread_heap_malloc_large(size_t size, size_t align, bool *zeroed) {
  drain_pinned_before_large();
  void *p = large_malloc(size, align, zeroed);
  if (p != NULL || !large_is_possible(size, align)) return p;
  give_up_caches();
  return large_malloc(size, align, zeroed);
}

void *thread_heap_realloc_large(void *p, size_t size) {
  drain_pinned_before_large();
  void *q = large_realloc(p, size);
  if (q != NULL || !large_is_possible(size, 1)) return q;
  give_up_caches();
  return large_realloc(p, size);
}

/* Gives half of the loaded slots back, the older ones. */
static void drain_half(ShuffleVector *v, unsigned c) {
  Magazine *m = shuffle_vector_unload(v);
  uint32_t half = (m->count + 1) / 2;
  global_heap_drain(c, m->slots, half);
  m->count -= half;
  memmove(m->slots, m->slots + half, m->count * sizeof *m->slots);
  shuffle_vector_load(v, m);
}

static bool may_grow(const Magazine *m, unsigned c) {
  size_t slots = magazine_next_capacity(m->capacity);
  return slots * size_classes[c].size <= MAGAZINE_FREE_BYTES ||
         slots <= load_relaxed(&class_heaps[c].live) / MAGAZINE_LIVE_SHARE;
}

/* Room in a full vector: a larger magazine while they are small, then an exchange with the previous
 * one or the depot. False when the system has no memory. */
static bool make_room(ThreadLocalHeap *heap, unsigned c) {
  ShuffleVector *v = &heap->vector[c];
  Magazine *loaded = shuffle_vector_magazine(v);
  if (loaded != NULL && loaded->capacity < size_classes[c].capacity && !may_grow(loaded, c)) {
    drain_half(v, c);
    return true;
  }
  if (grow_magazine(v, c)) return true;
  loaded = shuffle_vector_magazine(v);
  if (loaded == NULL || loaded->capacity < size_classes[c].capacity) return false;
  if (v->previous == NULL)
    v->previous = magazine_new(size_classes[c].capacity);
  else if (v->previous->count > 0)
    v->previous = depot_put_full(c, v->previous);
  store_relaxed(&heap->behind[c], 0);
  if (v->previous == NULL) return false;
  swap_previous(heap, c);
  return true;
}

static void free_small(void *p, unsigned c) {
  ThreadLocalHeap *heap = own_heap();
  if (heap != NULL && heap->direct) housekeeping(heap);
  if (heap != NULL && !heap->direct) {
    ShuffleVector *v = &heap->vector[c];
    /* A thread's first free of a class may be of a gift, beside which others have theirs: what it takes next shall
     * not be in their cache lines. */
    const bool gift = !heap->used[c] && load_relaxed(&v->base) == NULL;
    heap->used[c] = true;
    housekeeping(heap);
    if (!gift && (shuffle_vector_push(v, p) || (make_room(heap, c) && shuffle_vector_push(v, p)))) return;
  }
  global_heap_drain(c, &p, 1);
}

void thread_heap_free_slow(void *p) {
  int saved = errno;
  unsigned c = arena_contains(p) ? class_at(p) : CLASS_NONE;
  if (c >= CLASS_FIRST && c < CLASS_END)
    free_small(p, c);
  else
    large_free(p);
  errno = saved;
}

void thread_heap_flush(void) {
  ThreadLocalHeap *heap = thread_heap;
  if (heap == &empty_heap || heap->direct) return;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++)
    if (load_relaxed(&heap->vector[c].top) != NULL) drain_vector(heap, c);
}

/* ------------------------------------------------------------------------------ all threads' heaps */

void thread_heaps_forget_others(void) {
  ThreadLocalHeap *own = thread_heap;
  bool registered = own != &empty_heap && !own->direct;
  ThreadLocalHeap *first = registered ? own : NULL;
  if (heaps.first == first && (first == NULL || first->next == NULL)) return; /* no store, no copied page */
  heaps.first = first;
  if (registered) own->next = own->prev = NULL;
}

size_t thread_heaps_cached(unsigned c) {
  size_t n = 0;
  lock_acquire(&heaps.lock);
  for (ThreadLocalHeap *heap = heaps.first; heap != NULL; heap = heap->next) {
    /* The owner may exchange the magazine between our two loads: then the difference is nonsense. */
    size_t loaded = shuffle_vector_count(&heap->vector[c]);
    n += load_relaxed(&heap->behind[c]) + (loaded <= MAGAZINE_MAX ? loaded : 0);
  }
  lock_release(&heaps.lock);
  return n;
}
