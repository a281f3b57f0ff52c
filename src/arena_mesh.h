/* The only code that maps pages of the arena onto others: spans become file-backed when they join a mesh
 * group, and anonymous again when they leave.
 *
 * One memfd as long as the arena, mapped once as the window. The frame of a group is the part of it at
 * the page number of a span that was the group's leader when the frame was made: leaders that are
 * neighbours have neighbouring frames, and so make one kernel mapping. Aliases are made from the window
 * by mremap, which needs no descriptor. */
#ifndef MESH_ARENA_MESH_H
#define MESH_ARENA_MESH_H

#include "arena.h"

/* One span to be mapped onto a frame. */
typedef struct MeshMove {
  uint32_t page;   /* head of the span */
  uint32_t leader; /* head of the span that leads on the frame, or moves there in the same batch; maybe itself */
  uint32_t frame;  /* page number of the frame */
  bool copy;       /* copy the slots that its bitmap has into the frame */
} MeshMove;

/* Why there may be no meshing. Bits: there may be some when no reason is left. */
enum {
  FORBIDDEN_ALL_LOCKED = 1, /* mlockall; a child of fork does not inherit it */
  FORBIDDEN_FILTERED = 2    /* a seccomp filter may end the process for the system calls that meshing makes */
};
/* Forbids it for a reason, and allows it as far as that goes. It is not ended by this where it is under way. The former
 * is true if the reason is new. Any thread. */
bool arena_mesh_forbid(unsigned reason);
void arena_mesh_allow(unsigned reason);
bool arena_mesh_is_forbidden(unsigned reason);
/* arena_fit_limit, and the window is cut as short. (mesh lock) */
void arena_mesh_fit_limit(void);
/* Opens window and barrier at first use. False if there is no meshing in this process. */
bool arena_mesh_open(void);

/* The frame of `pages` pages from `page` on was free and is now the caller's; false if any of it is somebody's. */
bool arena_mesh_claim_frame(uint32_t page, uint32_t pages);
/* Nothing is mapped onto the frame any more: its memory goes back. */
void arena_mesh_release_frame(uint32_t frame, uint32_t pages);

/* Copies and maps `count` spans of class c in one batch (sorts `moves`). All or part of them may fail:
 * the MiniHeap's `frame` tells for each whether it moved. No store by another thread is lost. Called
 * under the mesh lock and the class lock. A span whose leader did not get onto the frame stays too.
 * Takes at most MESH_BATCH_MAX. */
void arena_mesh_move(MeshMove *moves, size_t count, unsigned c);

/* Gives a span with no live slot fresh anonymous pages; false (it stays on its frame) if the system has
 * no room for the mapping, or if the span parts neighbours that are one mapping and there are as many as may
 * be. */
bool arena_mesh_to_anonymous(uint32_t page, uint32_t pages);
/* Mappings that there would be more, or less, if the span were anonymous. */
int arena_mesh_cost_of_leaving(uint32_t page, uint32_t pages);

/* Takes a span with live slots off its current frame, as memory of its own (a stale frame); the frame and
 * those who share it stay. False if the system has no room, or as barrier_protect: then the next fork takes it
 * out, and wakes who waits there by a shared futex. Stores wait meanwhile. */
bool arena_mesh_take_out(uint32_t page, uint32_t pages);
/* The same for a span on a frame from before a fork, which is its own already: the file keeps the memory of all
 * its frames as long as one page of it is mapped. It stays there if it cannot leave; that is no error. */
void arena_mesh_leave_old_file(uint32_t page, uint32_t pages);
/* Pages that are there still. */
size_t arena_mesh_pages_on_old_files(void);

/* Kernel mappings that the arena consists of, at least (see map_count.h); and how many they may be. */
size_t arena_mesh_maps(void);
size_t arena_mesh_maps_limit(void);
/* Mappings that the moves may cost at most, the barrier's own for a moment among them. Sorts them. */
size_t arena_mesh_maps_needed(MeshMove *moves, size_t count, uint32_t span_pages);

/* Before a fork, all locks held: maps every span on a current frame privately onto it, so that both sides
 * see it as it is now and share nothing from here on, and gives the memfd up. Threads may go on storing:
 * what they store before is in the frame, what after is their own. False if nothing was shared. */
bool arena_mesh_fork(void);
/* Unmaps the next bytes of the window that was given up at the last fork; the child does not have it. False if
 * nothing is left of it. (mesh lock) */
bool arena_mesh_unmap_old_window(size_t at_most);
/* The system has room for that now. If not, a fork must not be tried: there is no way back. */
bool arena_mesh_can_fork(void);
/* In the child of a fork that was prepared so. */
void arena_mesh_fork_child(void);

/* In a child that was not: its groups are its parent's too, so nothing may be meshed or punched. */
bool arena_mesh_in_unprepared_child(void);

/* Keeps a duplicate of descriptor 2, for a program that closes that before it ends; its number, or one below 1 if there
 * is none. */
void arena_mesh_keep_stderr(void);
int arena_mesh_stderr(void);
/* The descriptor is one of ours: the program cannot mean it. Never in a child of vfork, whose descriptors are its own
 * and whose memory is its parent's. */
bool arena_mesh_owns_fd(int fd);
/* The lowest of ours from `fd` on; UINT_MAX if there is none. */
unsigned arena_mesh_next_fd(unsigned fd);
/* Takes ours elsewhere, because the program wants the number. (mesh lock) */
void arena_mesh_move_fds(int fd);

enum { MESH_BATCH_MAX = 256 };

#endif
