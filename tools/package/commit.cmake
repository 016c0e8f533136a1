# Writes OUTPUT, a C++ source with the commit of the folder SOURCES, unless it already says so. The commit is empty if
# the folder is not the root of a git repository or there is no git.
set(commit "")
find_program(git git NO_CACHE)
if(git)
  # Without --no-optional-locks, `git status` may write to the repository.
  set(query ${git} --no-optional-locks -C ${SOURCES})
  execute_process(COMMAND ${query} rev-parse --show-toplevel HEAD RESULT_VARIABLE failed OUTPUT_VARIABLE answer
                  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed EQUAL 0 AND answer MATCHES "^(.*)\n([0-9a-f]+)$")
    set(root "${CMAKE_MATCH_1}")
    set(head "${CMAKE_MATCH_2}")
    file(REAL_PATH ${root} root)
    file(REAL_PATH ${SOURCES} sources)
    if(root STREQUAL sources)
      set(commit "${head}")
      execute_process(COMMAND ${query} status --porcelain --untracked-files=no RESULT_VARIABLE failed
                      OUTPUT_VARIABLE changes ERROR_QUIET)
      if(NOT failed EQUAL 0 OR NOT changes STREQUAL "")
        string(APPEND commit "-modified")
      endif()
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[// Written by tools/package/commit.cmake.
#include "gradamp/tools/run/run_facts.h"

const char* gradamp::source_commit() { return "@commit@"; }
]])
