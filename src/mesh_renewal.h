/* Moving what a fork left on frames from before it, and no pass has meshed again, to frames of the new file.
 *
 * Such a file keeps the memory of all its frames, which Pss does not show, as long as a single page of it is
 * mapped. A child renews nothing: what it does not store to, it shares with its parent. All under the mesh
 * lock. */
#ifndef MESH_MESH_RENEWAL_H
#define MESH_MESH_RENEWAL_H

#include <stdbool.h>
#include <stdint.h>

/* There was a fork: the renewal is due at `due_ms`, and starts over if it is under way. */
void mesh_renewal_schedule(uint64_t due_ms);
/* In the child. */
void mesh_renewal_forget(void);

/* False if there is nothing to renew. */
bool mesh_renewal_pending(uint64_t *due_ms);
/* Renews some spans, or looks for some. False if that was all. */
bool mesh_renewal_step(void);

#endif
