/* Draining slots of spans that are mapped onto a frame, and the end of members and groups. Called under
 * the class lock. */
#ifndef MESH_GROUP_DRAIN_H
#define MESH_GROUP_DRAIN_H

#include "class_heap.h"

/* A span that leaves its frame costs some system calls, and may be followed by all its neighbours. So that nobody
 * waits long, a hold of the class lock begins with how many may leave: the others stay as they are, mapped and
 * without a live slot, until group_release_some finds them. */
enum { RELEASES_MAX = 16 }; /* some tens of system calls, 0.2 ms */
static inline void group_allow_releases(ClassHeap *h) { h->releases_allowed = RELEASES_MAX; }
/* Releases some of what was left, as many as are allowed in one hold. False at the end of a look over all pages, after
 * which some may be left again (classes_unreleased). */
bool group_release_some(ClassHeap *h);

/* Gives slot i of the span at `page` back. Ends the program if it is not live at this span's addresses. */
void group_drain(ClassHeap *h, uint32_t page, size_t i, uint32_t now_ms);

/* Lets a member with no live slot go, if it does not part neighbours that are one mapping: its span becomes
 * anonymous and free. Otherwise it stays as a filler, which costs nothing but addresses, until a neighbour
 * goes. Then its neighbours may follow. Returns the lowest span that went, or was to. */
uint32_t group_let_go(ClassHeap *h, uint32_t page);
/* Frees a span with no live slot, in no group or leading one whose members have none either. Where the system
 * has no mapping to spare, it stays as an empty span of its class. */
void group_end(ClassHeap *h, uint32_t leader);

/* For a span on a frame that has no live slot because the system had no mapping to spare when its last one
 * was drained, or because it was left: it may have one now. Returns as group_let_go. */
uint32_t group_release_empty(ClassHeap *h, uint32_t page);

#endif
