/* Pinned memory: spans that are not mapped anew, because a device, or a futex shared between processes,
 * knows them by more than their address. */
#ifndef MESH_PIN_H
#define MESH_PIN_H

#include "class_heap.h"

/* Pins the spans that [p, p + size) lies in, until unpin or until the span's last object is freed; what lies outside
 * the arena or in large blocks needs none. Pins nest. Waits for the piece of a pass under way to end, and up to
 * 5 ms for system calls that may write there: a span that is in a mesh group leaves it. False if it could not: then
 * it leaves at the next fork, and who waits there by a shared futex is woken. Or if there is no memory to note
 * it in: then the span may be meshed. */
bool pin(const void *p, size_t size);
void unpin(const void *p, size_t size);
/* The same, but unpin does not end it. Takes no lock where that has been done. */
void pin_for_good(const void *p, size_t size);
/* The same for locked memory, which is counted apart: it may all be unlocked at once. */
bool pin_locked(const void *p, size_t size);
void unpin_locked(const void *p, size_t size);
void unpin_all_locked(void);

/* The arena will have no more than so many pages: gives back what is reserved to note pins of others in. (mesh lock) */
void pin_fit_limit(uint32_t pages);
/* Bytes that would be. (mesh lock) */
size_t pin_excess(uint32_t pages);

/* The span that starts at `page` is pinned. (S) */
bool pin_holds(uint32_t page);
/* The span is no more. (S) */
void pin_forget(uint32_t page);

#endif
