/* Draining slots of spans that are mapped onto a frame, and the end of members and groups. Called under
 * the class lock. */
#ifndef MESH_GROUP_DRAIN_H
#define MESH_GROUP_DRAIN_H

#include "class_heap.h"

/* Gives slot i of the span at `page` back. Ends the program if it is not live at this span's addresses. */
void group_drain(ClassHeap *h, uint32_t page, size_t i, uint32_t now_ms);

/* Lets a member with no live slot go: its span becomes anonymous and free. It stays a member if the
 * system has no mapping to spare. */
void group_release_member(ClassHeap *h, uint32_t page);

/* For a span on a frame that has no live slot because the system had no mapping to spare when its last one
 * was drained: it may have one now. */
void group_release_empty(ClassHeap *h, uint32_t page);

#endif
