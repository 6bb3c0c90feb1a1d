"""Sums of one number from every rank."""

from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.worker_sums import WorkerSum
from hvd_qgenx.transport import inprocess


def test_terms_are_summed_exactly_and_rounded_once():
    """1e16 + 1 - 1e16 is 1, in whatever order ranks come."""

    def work(transport):
        report, total = Report(), WorkerSum(transport, "sum")
        assert not total.started
        assert total.wait(report) == 0.0
        total.start([1e16, 1.0, -1e16][transport.rank])
        assert total.started
        found = total.wait(report)
        total.forget()
        return found, total.started, report.bytes_sent

    assert inprocess.run(3, work) == [(1.0, False, 16)] * 3
