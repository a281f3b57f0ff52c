/* Pinned memory: spans that are not mapped anew, because a device, or a futex shared between processes,
 * knows them by more than their address. */
#ifndef MESH_PIN_H
#define MESH_PIN_H

#include "class_heap.h"

/* Pins the spans that [p, p + size) lies in; what lies outside the arena or in large blocks needs none.
 * Pins nest; those of a span end when its last object is freed. False if there is no memory for it. Waits
 * for the piece of a pass under way to end; a span that is in a mesh group leaves it. Where that cannot be done
 * within 5 ms, it leaves at the next fork, and who waits there by a shared futex is woken. */
bool pin(const void *p, size_t size);
void unpin(const void *p, size_t size);

/* The span that starts at `page` is pinned. (S) */
bool pin_holds(uint32_t page);
/* The span is no more. (S) */
void pin_forget(uint32_t page);

#endif
