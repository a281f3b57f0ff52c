/* Mesh groups: the virtual spans mapped onto one frame, as a ring through their MiniHeaps.
 *
 *   the leader   stands for the group: its bitmap and `live` are those of the frame (the union of the
 *                members' own slots and its own), it is in the lists by occupancy, and free slots of the
 *                frame are allocated at its addresses. It stays until the group ends.
 *   a member     has the bits of the slots that are live at its own addresses; it is in no list, and
 *                leaves when the last of them is drained.
 *
 * Within a group the members' bitmaps are disjoint. A span in no group is its own leader. All functions
 * are called under the class lock; none touches the pages. */
#ifndef MESH_GROUP_H
#define MESH_GROUP_H

#include "arena.h"

static inline bool is_leader(uint32_t page) { return miniheap_of(page)->leader == page; }
static inline bool has_members(uint32_t leader) { return miniheap_of(leader)->group_next != leader; }

/* Spans in the group, the leader among them. */
size_t mesh_group_size(uint32_t leader);

/* True if slot i is live at the leader's own addresses: set in the frame, but no member's. */
bool mesh_group_leader_owns(uint32_t leader, size_t i);

/* Leaves a leader with the bits of its own slots, as a member has them, because its group ends. */
void mesh_group_keep_own_bits(uint32_t leader);

/* After the spans of group `b` that could be were mapped onto the frame of group `a` (their `frame` says
 * which): makes them members of `a`, each with its own bits. The frames' bitmaps were disjoint, and both
 * leaders are in no list. Returns 0, or the leader of a group of those that stayed where they were. */
uint32_t mesh_group_merge(uint32_t a, uint32_t b);

/* Takes a span that is on its frame no more out of its group, with its own bits; if it led, another leads.
 * The span is in no list afterwards. Returns the leader of those who remain, 0 if there are none. */
uint32_t mesh_group_split(uint32_t page);

/* Takes a member with no live slot out of its group. */
void mesh_group_leave(uint32_t member);

/* Debug builds: invariants of the whole group. */
void mesh_group_assert_state(uint32_t leader);

#endif
