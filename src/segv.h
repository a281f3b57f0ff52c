/* SIGSEGV, where it is the write barrier: our handler stands in front of the program's own, which sees
 * exactly the faults that are its own, and which a query shows in place of ours.
 *
 * It is installed before the first batch and stays, because a fault that began on a protected page may
 * reach its handler when the batch is long over. */
#ifndef MESH_SEGV_H
#define MESH_SEGV_H

#include "os.h"

/* False if the kernel will not. (mesh lock) */
bool segv_install(void);
/* The handler is ours: the program's own action is to be read and changed by segv_exchange. */
bool segv_installed(void);
/* This process is not the one that the handler was installed in, but a child of it. */
bool segv_of_other_process(void);
/* In the child of a fork: its actions are its own. */
void segv_fork_child(void);
/* Stores the program's action at `old`, if that is not NULL, and takes `new` as the action, if that is not
 * NULL. */
void segv_exchange(const OsSignalAction *new_action, OsSignalAction *old);

#endif
