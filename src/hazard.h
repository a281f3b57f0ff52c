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
  _Atomic bool taken;           /* (~) belongs to a thread */
  struct Hazard *next;          /* (C) */
} Hazard;

/* Publishes the part of [buffer, buffer + size) that lies in the arena, in addition to what the thread has
 * published (a signal handler may interrupt a read with another). Returns what hazard_clear wants. */
typedef struct Published {
  Hazard *hazard;
  uintptr_t start, end;
} Published;

/* False if stores by the kernel wait, so that nothing need be published. */
extern _Atomic bool hazard_wanted;

Published hazard_publish(const void *buffer, size_t size) ADDRESS_ONLY;
void hazard_clear(Published p);

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
