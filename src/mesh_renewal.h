/* Moving what a fork left on frames from before it, and no pass has meshed again, to frames of the new file.
 *
 * Such a file keeps the memory of all its frames, which Pss does not show, as long as a single page of it is
 * mapped: what could not be moved is tried again, ever later. A child shares what it does not store to with its
 * parent: there nothing is renewed before some seconds have gone by, which most children do not live to see, and
 * then only if the parent is gone, or if so little is left that to copy it is cheap beside what it holds. All under
 * the mesh lock. */
#ifndef MESH_MESH_RENEWAL_H
#define MESH_MESH_RENEWAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* There was a fork: the renewal is due at `due_ms`, and starts over if it is under way. `file_pages` are in the files. */
void mesh_renewal_schedule(uint64_t due_ms, size_t file_pages);
/* In the child. */
void mesh_renewal_in_child(int parent);

/* False if there is nothing to renew. */
bool mesh_renewal_pending(uint64_t *due_ms);
/* Begins at the first page. False if it is put off, to `due_ms`. */
bool mesh_renewal_begin(uint64_t now_ms, uint64_t *due_ms);
/* It cannot begin: returns when it is due again, later each time. */
uint64_t mesh_renewal_put_off(uint64_t now_ms);
/* Renews some spans, or looks for some. False if that was all. */
bool mesh_renewal_step(uint64_t now_ms);

#endif
