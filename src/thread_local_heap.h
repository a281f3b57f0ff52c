/* ThreadLocalHeap: a thread's ShuffleVectors, and the fast paths of malloc and free over them. */
#ifndef MESH_THREAD_LOCAL_HEAP_H
#define MESH_THREAD_LOCAL_HEAP_H

#include "arena.h"
#include "shuffle_vector.h"

typedef struct ThreadLocalHeap {
  /* (T) by class map value. Those of CLASS_NONE and of large blocks stay unused, so that freeing such
   * an address takes the slow path without a test of its own. */
  ShuffleVector vector[CLASS_MAP_VALUES];
  bool direct;                        /* (C) keeps nothing: each call goes to the GlobalHeap */
  Rng rng;                            /* (T) */
  uint32_t slow_calls;                /* (T) */
  uint32_t calls_at_look;             /* (T) slow_calls at the last thread_heap_note_look */
  uint32_t key_look;                  /* (T) slow_calls at which to look next whether the key still has the heap */
  uint64_t last_shrink;               /* (T) os_now_ms */
  size_t pinned_look;                 /* (T) arena_used_bytes at the last look for pinned classes, or less since */
  uint32_t pinned_calls;              /* (T) slow_calls then */
  uint16_t refill[CLASS_MAP_VALUES];  /* (T) slots to ask for next: doubles with each refill */
  _Atomic uint16_t behind[CLASS_MAP_VALUES]; /* (T) slots in the previous magazine; read by others */
  bool used[CLASS_MAP_VALUES];        /* (T) a slow path since the last shrink */
  void **seen[CLASS_MAP_VALUES];      /* (T) top at the last shrink */
  struct ThreadLocalHeap *next, *prev; /* (registry lock) */
} ThreadLocalHeap;

/* Never NULL: a thread starts on a heap whose vectors are all unused. Initial-exec, so that no access
 * calls the loader (which may allocate). */
extern _Thread_local ThreadLocalHeap *thread_heap __attribute__((tls_model("initial-exec")));

/* The slow paths. NULL with errno ENOMEM when there is no memory. */
void *thread_heap_malloc_slow(size_t size);
void *thread_heap_malloc_class(unsigned c);
void thread_heap_free_slow(void *p);
/* As large_malloc and large_realloc, but give up caches before they fail. */
void *thread_heap_malloc_large(size_t size, size_t align, bool *zeroed);
void *thread_heap_realloc_large(void *p, size_t size);

/* Drains the calling thread's vectors that went unused since the last time, if that is long enough. Milliseconds until
 * it is worth while again; UINT32_MAX if the vectors are empty. */
uint32_t thread_heap_shrink(uint64_t now_ms);
/* The calling thread has drained or refilled something since thread_heap_note_look. */
bool thread_heap_changed(void);
void thread_heap_note_look(void);
/* Gives all of the calling thread's cached slots back to their spans. */
void thread_heap_flush(void);

/* fork and statistics. */
Lock *thread_heaps_lock(void);
/* Makes the key by which an exiting thread's heap is found: the earlier, the lower its number. A thread's first value for
 * one of 32 and more has libc allocate, see thread_local_heap.c. */
void thread_heaps_make_key(void);
/* In the child: the other threads' heaps have no owner any more. */
void thread_heaps_forget_others(void);
/* Adds the slots that all threads' vectors of class c hold; approximate while they run. */
size_t thread_heaps_cached(unsigned c);

static inline void *thread_heap_malloc(size_t size) {
  if (UNLIKELY(size > SMALL_MAX)) return thread_heap_malloc_slow(size);
  void *p = shuffle_vector_pop(&thread_heap->vector[size_class_of(size)]);
  if (UNLIKELY(p == NULL)) return thread_heap_malloc_slow(size);
  return p;
}

static inline void thread_heap_free(void *p) {
  size_t offset = (uintptr_t)p - arena.base;
  if (UNLIKELY(offset >= load_relaxed(&arena.limit))) {
    if (p != NULL) thread_heap_free_slow(p);
    return;
  }
  size_t c = load_relaxed(&arena.class_map[offset >> MAP_UNIT_SHIFT]);
  if (UNLIKELY(!shuffle_vector_push(&thread_heap->vector[c], p))) thread_heap_free_slow(p);
}

#endif
