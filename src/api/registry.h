// The registry of backends: the only place that knows which ones this build has.
#ifndef DUEL_API_REGISTRY_H
#define DUEL_API_REGISTRY_H

#include "core/backend.h"

// "auto", "cpu" or "cuda". USAGE for an unknown name, DEVICE for one that cannot work here, with the reason.
duel_status duel_backend_find(const char *name, const duel_backend_api **api);

#endif
