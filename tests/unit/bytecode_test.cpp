#include "isa/bytecode.h"

#include <doctest/doctest.h>

#include "tests/unit/sample_modules.h"

using namespace tess;

TEST_CASE("a hand-built module survives") {
  Module m = tests::saxpy_module();
  auto bytes = write_bytecode(m);
  auto back = read_bytecode(bytes);
  REQUIRE_MESSAGE(back, back.error().message);
  CHECK(write_bytecode(*back) == bytes);
}
