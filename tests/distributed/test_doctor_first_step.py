"""The doctor's first step, in one process and in two."""

from offline_rl.doctor import distributed_checks


def test_the_first_step_is_checked_in_one_and_two_processes(patient):
    found = distributed_checks.first_step(patient, distributed_checks.DPO)
    assert [one.result for one in found] == ["pass"] * 2, found
