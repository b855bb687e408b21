/* SPDX-License-Identifier: Apache-2.0 */
/* By how much a version's layouts are ahead of the current ones. */
#ifndef TESTS_UPGRADE_ALTERED_ALTERED_H
#define TESTS_UPGRADE_ALTERED_ALTERED_H

#ifndef ALTERED_MAJOR
#define ALTERED_MAJOR 0
#endif
#ifndef ALTERED_MINOR
#define ALTERED_MINOR 0
#endif

#endif
