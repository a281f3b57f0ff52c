/* MESH_BACKGROUND_THREAD=1: a thread of our own purges and meshes, instead of the program's threads. */
#ifndef MESH_BACKGROUND_H
#define MESH_BACKGROUND_H

/* Starts it, if it is wanted; called when the program's constructors run, and in the child of a fork. */
void background_start(void);

#endif
