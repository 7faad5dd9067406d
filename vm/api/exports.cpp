// libtessera is put together from the libraries below it; tess.map says what it exports.
#include "vm/api/tess.h"

static_assert(TESS_ABI_VERSION == 1, "a new ABI is a new soversion in meson.build");
