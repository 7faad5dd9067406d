#include "isa/diag.h"

#include <doctest/doctest.h>

using namespace tess;

TEST_CASE("carets stand under wide characters and tabs count one column") {
  Sources sources{{"k.vmasm", "ok\n\t%名 = add %x\n"}};
  Diagnostic d = make_diag(Diag{100}, "bad", {0, 2, 7, 3});
  CHECK(render_diag(d, sources, false) ==
        "k.vmasm:2:7: error[E0100]: bad\n    2 |  %名 = add %x\n      |        ^~~\n");
}

TEST_CASE("control characters of user text never reach the terminal or break JSON") {
  Sources sources{{"a\x1b[31m", "x\x1by\n"}};
  Diagnostic d = make_diag(Diag{100}, "say \"\x07\"", {0, 1, 1, 1});
  CHECK(render_diag(d, sources, false).find('\x1b') == std::string::npos);
  CHECK(render_diag_json(d, sources).find("\\u0007") != std::string::npos);
}

TEST_CASE("codes are found by number and by id in any case") {
  CHECK(find_diag("e0100") == find_diag(Diag{100}));
  CHECK(find_diag("T0100") == nullptr);
  CHECK(find_diag("E010") == nullptr);
}

TEST_CASE("a misspelt name is matched only by a near one") {
  std::string_view names[] = {"load", "store", "reduce.add"};
  CHECK(nearest_name("laod", names) == "load");
  CHECK(nearest_name("zzz", names).empty());
}
