/* Work done when a thread of the program is about to sleep anyway: meshing, purging, draining its own
 * unused vectors. Fast no when there is none. */
#ifndef MESH_IDLE_H
#define MESH_IDLE_H

#include "config.h"

/* There may be work for a thread that sleeps, now or in a moment: a few loads and a look at a coarse clock. */
bool idle_due(void);
/* Milliseconds to sleep first, because somebody has just looked for work: who is woken before needs no look. */
uint32_t idle_pause(void);
/* Works for at most a millisecond. `own_caches`: on what the calling thread has in its heap too, which it must not be
 * in the midst of changing, as it is if a handler that interrupted malloc calls this. Returns 0 if there is more to do
 * now; otherwise milliseconds until the caller should call it again, a second more where another thread will see to it
 * before; UINT32_MAX if nothing is foreseen. */
uint32_t idle_work(bool own_caches);
/* The caller does not sleep any more: it may go its way before the time that idle_work told it. */
void idle_awake(void);

#endif
