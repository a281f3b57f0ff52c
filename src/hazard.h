/* Published buffers: memory that a system call under way may write to. Where the write barrier cannot
 * make the kernel wait (see BarrierKind), a batch leaves the pages of published buffers alone.
 *
 * The scheme is that of hazard pointers (Michael 2004) with an asymmetric fence: a thread stores its
 * buffer and then looks whether a batch is under way; a batch says that it is, has the kernel put a fence
 * into every thread (membarrier), and then looks at the buffers. So one of the two sees the other. */
#ifndef MESH_HAZARD_H
#define MESH_HAZARD_H

#include "arena.h"

typedef struct Hazard {
  _Atomic uintptr_t start, end; /* (T), read by batches; start == end: nothing published */
  uintptr_t frame;              /* (T) stack pointer of who called the function that published it */
  _Atomic bool taken;           /* (~) belongs to a thread */
  struct Hazard *next;          /* (C) */
} Hazard;

/* What the thread had published before: it is published again by hazard_clear. */
typedef struct Published {
  Hazard *hazard; /* NULL: nothing was published */
  uintptr_t start, end, frame;
} Published;

/* False if stores by the kernel wait, so that nothing need be published. */
extern _Atomic bool hazard_wanted;

/* There, if calls are wrapped at all: not in a static library. Where the kernel does not wait, there is no
 * meshing without. */
extern const bool hazard_calls_wrapped __attribute__((weak, visibility("hidden")));

/* Publishes [buffer, buffer + size), if it lies in the arena, until hazard_clear, in addition to what the
 * thread has published (a signal handler may interrupt a read with another). What was published by a
 * function that siglongjmp left, so that it never cleared it, is given up: `frame` is the caller's
 * HAZARD_FRAME. */
Published hazard_publish_at(uintptr_t frame, const void *buffer, size_t size) ADDRESS_ONLY(2);
/* Publishes another buffer of the same call. */
void hazard_add_at(Published *p, uintptr_t frame, const void *buffer, size_t size) ADDRESS_ONLY(3);
void hazard_clear_slow(const Published *p);

/* The stack pointer that the function which says this was called with. */
#define HAZARD_FRAME ((uintptr_t)__builtin_dwarf_cfa())
#define hazard_publish(buffer, size)                                                        \
  (hazard_concerns((uintptr_t)(buffer)) ? hazard_publish_at(HAZARD_FRAME, (buffer), (size)) \
                                        : (Published){.hazard = NULL})
#define hazard_add(p, buffer, size) \
  (hazard_concerns((uintptr_t)(buffer)) ? hazard_add_at((p), HAZARD_FRAME, (buffer), (size)) : (void)0)

static inline bool hazard_concerns(uintptr_t address) {
  return arena_contains((const void *)address) && load_relaxed(&hazard_wanted);
}
static inline void hazard_clear_at(const Published *p) {
  if (p->hazard != NULL) hazard_clear_slow(p);
}
#define hazard_clear(p) hazard_clear_at(&(p))

/* For a batch: from hazard_begin on no thread publishes a buffer and goes on before hazard_end. False, and
 * nothing has begun, where the kernel has no membarrier. */
bool hazard_begin(void);
bool hazard_overlaps(const void *start, size_t size);
void hazard_end(void);

/* In the child of a fork: the other threads' calls are not under way here. */
void hazard_forget_others(void);

/* Waits until the batch under way, if there is one, has ended. */
void hazard_wait(void);
bool hazard_batch_running(void);
/* Changes with each batch. */
uint32_t hazard_batch_number(void);

#endif
