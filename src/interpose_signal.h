/* Signal masks, where SIGSEGV is the write barrier: a thread that blocks it could not wait for a batch, the
 * kernel would end the program. So it stays open in every mask that the kernel gets. What a program asks
 * for later is answered as it was set. */
#ifndef MESH_INTERPOSE_SIGNAL_H
#define MESH_INTERPOSE_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* `set`, or `*copy` without SIGSEGV if it must stay open. */
const sigset_t *open_mask(const sigset_t *set, sigset_t *copy);
/* The same for the mask among the arguments of a system call, if there is one. */
void open_mask_of_call(long number, uintptr_t *arguments, uint64_t *copy);

/* A thread with this mask may be in a handler of the program's: a signal is blocked that had one, or some signal
 * had one that does not block it. Handlers may interrupt malloc, whose fast path holds no lock. */
bool in_handler_perhaps(uint64_t mask);

#endif
