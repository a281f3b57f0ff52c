/* ClassHeap: what the GlobalHeap keeps for one size class, under one lock (S): its spans, in lists by
 * occupancy. */
#ifndef MESH_CLASS_HEAP_H
#define MESH_CLASS_HEAP_H

#include "arena.h"

typedef struct ClassHeap {
  _Alignas(CACHE_LINE) Lock lock;   /* (S) is this lock */
  uint32_t bin[THREAD_SHARDS][SPAN_BINS]; /* (S) lists of partial spans, by shard and occupancy; 0 ends */
  uint64_t occupied;                /* (S) which of these are not empty */
  bool fresh_idle;                  /* (S) no fresh span was used since the last tick */
  uint32_t spans;                   /* (S) */
  uint32_t members;                 /* (S) spans that share another's frame: each releases its own pages */
  uint32_t spans_peak;              /* (S) */
  _Atomic uint64_t live;            /* (S), read by all as a hint: bits set, slots that programs or caches have */
  uint64_t span_allocs, span_frees; /* (S) since the start */
  uint64_t trimmed_pages;           /* (S) pages without a live slot that were purged from partial spans */

  uint32_t releases_allowed;        /* (S) spans that may yet leave their frames in this hold of the lock */
  uint32_t release_cursor;          /* (S) page that a look for those that were left has come to; 0: there is none */
  bool left_again;                  /* (S) some were left since it began */

  uint64_t mesh_after;              /* (mesh lock) os_now_ms before which no pass is worth while */
  uint32_t mesh_wait;               /* (mesh lock) ms; doubles when a pass releases little */
} ClassHeap;

extern ClassHeap class_heaps[CLASS_END];

/* (T) The shard of the calling thread. */
extern _Thread_local unsigned thread_shard __attribute__((tls_model("initial-exec")));

/* Pages that mesh groups share at present and would have of their own otherwise. */
extern _Atomic size_t mesh_pages_released;

/* (~, a bit changed under its class lock) Classes that have spans which could leave their frames and were left. */
extern _Atomic uint64_t classes_unreleased;

/* Held by whoever maps pages of spans with live slots: passes, pins, fork. */
Lock *mesh_lock(void);

void class_heaps_init(void);

/* Ends the program for a misuse of `address` found under the class lock. Not holding it any more: the program's
 * handler of SIGABRT may allocate. */
_Noreturn void class_heap_misuse(ClassHeap *h, const char *what, const void *address);

/* Span lists. `mh` is the head of `page`. A span goes into a list of the calling thread's shard, and stays in it while
 * its bin does not change. */
void bin_insert(ClassHeap *h, uint32_t page, MiniHeap *mh, uint8_t bin);
/* From the list it is in, if it is in one. */
void bin_remove(ClassHeap *h, MiniHeap *mh);
/* Into the list that its occupancy asks for. */
void rebin(ClassHeap *h, uint32_t page, MiniHeap *mh);
/* The fullest partial span of the calling thread's shard, or another's (unless the class has few spans yet), or a
 * fresh one, or 0. */
uint32_t fullest_partial(const ClassHeap *h);
/* A fresh span, or 0. */
uint32_t fresh_span(const ClassHeap *h);

#endif
