/* fork: where there are other threads, all locks are taken in rank order before it and let go after it on both
 * sides; what mesh groups share is parted (see arena_mesh_fork). */
#ifndef MESH_FORK_H
#define MESH_FORK_H

#include <stdbool.h>

/* Once. Before anybody else's: handlers run in reverse order before a fork, so that others', which may allocate,
 * have run when ours takes the locks. */
void fork_handlers_install(void);

/* A fork would find memory for what it must part. If not, it has to fail: the handlers could only end the
 * program. */
bool fork_possible(void);

/* What the handlers do, for the ways to make a process that run no handlers. False, and nothing was done nor
 * is to be, if there is no heap yet, or the calling thread is in a signal handler that interrupted it where it forks,
 * holds a lock, or is about to: it would wait for itself. The child may then read what is shared, and start another
 * program. */
bool fork_prepare(void);
void fork_parent(void);
void fork_child(void);

/* The program makes a thread, or a process that shares its memory, past libc. */
void fork_not_alone(void);

#endif
