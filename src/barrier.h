/* The write barrier: makes stores to a span wait while its objects are copied.
 *
 * A batch runs  open -> protect* -> (copy, map anew) -> wake or give up for each range -> close.
 * Between protect and the new mapping no store to the range completes on the old pages. Who was woken goes on
 * at close at the latest. Memory that userfaultfd is to protect is registered with it; anonymous memory of the
 * arena is and stays so, because each change of that splits kernel mappings. One batch at a
 * time: the caller holds the mesh lock. All signals of the calling thread are blocked from open to close,
 * because a handler that ran on this thread and stored to a protected page would wait for itself. */
#ifndef MESH_BARRIER_H
#define MESH_BARRIER_H

#include "options.h"

/* Where SIGSEGV is asked for as the barrier, it is from the start of the program on: a child of vfork that was
 * made before could not store to what is protected later. */
void barrier_start(void);

/* What is in use; BARRIER_AUTO before the first batch. */
BarrierKind barrier_kind(void);

/* SIGSEGV is the barrier, or may become it: no thread may block it. Asks, before the first batch, what there
 * will be to choose from, and what it says it stands by. */
bool barrier_needs_segv(void);

/* Objects of this size may be protected: where the kernel cannot be made to wait, those are left out that
 * it is made to store into by calls that nobody can wrap. */
bool barrier_allows(size_t object_size);

/* From now on the kernel stores into the heap at times that no wrapper sees, or libc with all signals blocked: where
 * such stores cannot be made to wait nothing is protected any more. From now on devices store into it, which know
 * pages by their physical addresses: what may hold a sector of theirs is not protected. The batch under way goes
 * on. Any thread, no lock. False if it was said before. */
bool barrier_expect_late_stores(void);
bool barrier_expect_direct_io(void);

/* Chooses a back end if there is none yet. False if there is none just now. */
bool barrier_choose(void);
/* False if there is none just now. */
bool barrier_open(void);
/* False, and the range is as it was, if the kernel will not, or if a system call under way may write
 * there and could not be made to wait. */
bool barrier_protect(char *addr, size_t size);
/* The range was mapped anew: its writers go on there. */
void barrier_wake(char *addr, size_t size);
/* The range was not: its writers go on on the old pages. To be called for all that is next to each other at
 * once: a part might take a mapping more than there may be. */
void barrier_give_up(char *addr, size_t size);
void barrier_close(void);
/* Anonymous memory was mapped here, and nobody has stored to it: it is to be as what surrounds it, so that the
 * kernel joins them. Any thread, no lock. */
void barrier_mapped_anew(void *addr, size_t size);
/* Kernel mappings that the arena has more because one part of it is registered and the next is not. */
size_t barrier_maps(void);
/* In mid-batch: writers still wait. False if the program closed the descriptor by a system call of its
 * own: what is not mapped yet must stay. */
bool barrier_holds(void);
/* Its descriptor, -1 if there is none. */
int barrier_fd(void);
/* Takes it elsewhere if it is this one. */
void barrier_move_fd(int fd);
/* Before and after what is done for a fork: its locks are held, so mappings that it sets apart are not counted. */
void barrier_fork(bool under_way);
/* All locks held: gives the descriptor up, until the next batch. */
void barrier_drop(void);
/* No batch will ever be (or one may again): wrappers have nothing to publish, and make no system calls to find what. */
void barrier_end(bool ended);
bool barrier_ended(void);
/* In the child of a fork: the descriptor is for the parent's memory. */
void barrier_fork_child(void);

#endif
