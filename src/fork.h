/* fork: all locks are taken in rank order before it and let go after it on both sides. */
#ifndef MESH_FORK_H
#define MESH_FORK_H

void fork_handlers_install(void);

#endif
